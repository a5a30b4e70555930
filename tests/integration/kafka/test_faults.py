"""Faults of cluster, messages and settings: each is told, and nothing is lost or decided twice."""

import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.broker import NO_KAFKA, Broker, make_topic
from tests.integration.kafka.certificates import Certificates, made
from tests.integration.kafka.feeder import Feeder, check, until_decided, until_more_decided
from tests.integration.kafka.losing_proxy import END_TRANSACTION, LosingProxy
from tests.integration.kafka.topic_stage import COMMAND, Stage, payment
from tests.warm import started

pytestmark = pytest.mark.slow


#: As Kafka has it unless told otherwise: the first hang is not noticed, the second one is.
COUNTED_OUT = {"broker.session.timeout.ms": "9000"}


@pytest.mark.parametrize("own_broker", [COUNTED_OUT], indirect=True, ids=["9s"])
@pytest.mark.parametrize("away", [5.0, 70.0])
def test_the_broker_hangs_under_load(own_broker: Broker, tmp_path: Path, away: float) -> None:
    """Nothing answers for a while, longer than a transaction lasts the second time."""
    stage = Stage(own_broker.servers, tmp_path, "hanging")
    feeder = Feeder(stage, 400)
    feeder.start()
    worker = stage.started()
    until_decided(stage, 1)
    own_broker.pause()
    time.sleep(away)
    own_broker.resume()
    gone = worker.poll() is not None
    if not gone:
        until_more_decided(stage, 200)
        worker.send_signal(signal.SIGTERM)
    _, said = worker.communicate(timeout=240)
    feeder.end()
    assert "Traceback" not in said.decode()
    assert worker.returncode == 0, said.decode()
    check(stage, feeder)


def test_the_broker_is_gone_for_a_minute(own_broker: Broker, tmp_path: Path) -> None:
    """The same worker goes on when the broker, killed under load, is started a minute later."""
    stage = Stage(own_broker.servers, tmp_path, "gone")
    feeder = Feeder(stage, 400)
    feeder.start()
    worker = stage.started()
    until_decided(stage, 1)
    own_broker.kill()
    time.sleep(60)
    own_broker.start()
    until_more_decided(stage, 200)
    worker.send_signal(signal.SIGTERM)
    _, said = worker.communicate(timeout=240)
    feeder.end()
    assert worker.returncode == 0, said.decode()
    assert "cannot be reached; waiting for it" in " ".join(said.decode().split())
    check(stage, feeder)


@pytest.mark.skipif(not os.environ.get("HEADRACE_KAFKA_BROKER"), reason=NO_KAFKA)
def test_a_commit_that_is_never_answered(tmp_path: Path) -> None:
    """Another client takes the place of one whose commits get lost, and nothing is sent twice."""
    broker = Broker(tmp_path / "kafka")
    proxy = LosingProxy(broker.port, END_TRANSACTION)
    broker.settings = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxy.port}"}
    proxy.start()
    broker.start()
    try:
        stage = Stage(broker.servers, tmp_path, "unanswered")
        stage.feed([payment(number) for number in range(100)])
        done = stage.run()
        assert done.returncode == 0, done.stderr
        assert proxy.lost > 0
        assert "another client takes its place" in " ".join(done.stderr.split())
        assert len(stage.check_evidence()) == 100
        assert [item["event_id"] for item in stage.decisions()] == [f"p{at}" for at in range(100)]
    finally:
        broker.kill()


#: What a producer may send, none of it a payment.
POISON: list[bytes | None] = [
    b"x" * 990_000,
    b"[" * 60_000,
    b'{"card":' * 8_000,
    b'{"a":' * 8_000 + b"1" + b"}" * 8_000,
    payment(1).replace(b"c1", b"\xff\xfe"),
    payment(1).replace(b'"c1"', b'"' + b"c" * 50_000 + b'"'),
    payment(1).replace(b"37.50", b"9" * 5_000),
    b"",
    None,
    b"\0" * 1_000,
    bytes(range(256)) * 20,
    b'"' + b"\\" * 10_001 + b'"',
]


@pytest.mark.parametrize("form", ["json", "avro", "protobuf", "arrow"])
def test_poison_stops_no_partition(stage: Stage, form: str) -> None:
    stage.feed([*POISON, *POISON])
    done = stage.headrace(
        [
            *stage.command(until=f"&until=end&format={form}")[len(COMMAND) :],
        ]
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    inputs = stage.check_evidence()
    assert len(inputs) == 2 * len(POISON)
    assert {item["kind"] for item in inputs} == {2}
    quarantined = stage.messages(stage.quarantine)
    assert len(quarantined) == 2 * len(POISON)
    huge = [headers for headers, _ in quarantined if "left_out" in headers]
    assert [headers["left_out"] for headers in huge] == [b"990000 bytes"] * 2
    # and what comes behind them is decided as ever
    if form == "json":
        stage.feed([payment(number) for number in range(100)])
        assert stage.run().returncode == 0
        assert len(stage.decisions()) == 100


def test_a_topic_that_takes_small_messages_alone(servers: str, tmp_path: Path) -> None:
    """The journal's messages are cut as the setting says; before it is set, the error names it."""
    name = f"small-{abs(hash(tmp_path)) % 10**8}"
    make_topic(servers, f"headrace.{name}.journal", config={"max.message.bytes": "20000"})
    stage = Stage(servers, tmp_path, name)
    stage.feed([payment(number) for number in range(10_000)])
    refused = stage.run()
    assert refused.returncode == 1
    words = " ".join(refused.stderr.split())
    assert "is larger than Kafka" in words
    assert "Write ?message.max.bytes=N" in words
    assert "Traceback" not in refused.stderr
    done = stage.run(until="&until=end&message.max.bytes=20000")
    assert done.returncode == 0, done.stderr
    assert len(stage.check_evidence()) == 10_000
    assert len({item["event_id"] for item in stage.decisions()}) == 10_000


CASE = """
import headrace as hr

class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    merchant: hr.Key
    amount: hr.Money
    currency: hr.Currency

class Chargeback(hr.Event):
    chargeback_id: hr.Id
    at: hr.EventTime
    payment_id: hr.Ref[Payment]
    merchant: hr.Key

class Rate(hr.Row):
    base: hr.Currency
    quote: hr.Currency
    rate: hr.Decimal(8)
    valid_from: hr.EventTime

payments = hr.stream(Payment, lateness="2d")
chargebacks = hr.stream(Chargeback, lateness="2d")
rates = hr.table(Rate, key=("base", "quote"))
eur = payments.amount.in_currency("EUR", rates)
features = hr.features(
    amount=eur,
    card_spend_1h=payments.by("card").sum(eur, "1h"),
    merchant_chargebacks_90d=chargebacks.by("merchant").count("90d"),
)
case = hr.UseCase(
    name="{name}",
    on=payments,
    features=features,
    label=chargebacks.of(payments).within("60d"),
    policy=hr.Policy(
        hr.block("charged_back", features.merchant_chargebacks_90d > 1),
        hr.review("large", features.amount > 900),
        otherwise=hr.approve(),
    ),
)
"""
RATES = [
    f'{{"base":"USD","quote":"EUR","rate":"0.9","valid_from":"2026-0{month}-01T00:00:00Z"}}'.encode()
    for month in (1, 2, 3)
]
CHARGEBACKS = [
    f'{{"chargeback_id":"b{n}","at":"2026-03-01T00:00:0{n}Z","payment_id":"p{n}",'
    f'"merchant":"m{n % 2}"}}'.encode()
    for n in range(4)
]


def in_dollars(number: int) -> bytes:
    return payment(number).replace(
        b'"card"', f'"currency":"USD","merchant":"m{number % 5}","card"'.encode()
    )


def test_labels_and_tables_are_topics(stage: Stage) -> None:
    """Rates and chargebacks come by topics of their own, before the payments."""
    (stage.folder / "case.py").write_text(CASE.replace("{name}", stage.name))
    more = {"rate": RATES, "chargeback": CHARGEBACKS}
    options = []
    for stream, payloads in more.items():
        make_topic(stage.servers, f"{stage.name}.{stream}")
        stage.feed(payloads, topic=f"{stage.name}.{stream}")
        options.append(f"--source={stream}=kafka://{stage.servers}/{stage.name}.{stream}")
    command = stage.command()[len(COMMAND) :]
    done = stage.headrace([*command, *options])
    assert done.returncode == 0, done.stderr
    stage.feed([in_dollars(number) for number in range(200)])
    stage.feed([b"no rate", RATES[0]], topic=f"{stage.name}.rate")
    done = stage.headrace([*command, *options])
    assert done.returncode == 0, done.stderr
    inputs = stage.check_evidence()
    assert len(inputs) == len(RATES) + len(CHARGEBACKS) + 202
    assert Counter(item["kind"] for item in inputs)[2] == 1
    found = stage.decisions()
    assert len(found) == 200
    # of two merchants, each charged back twice, all but the payments before the second time
    assert Counter(item["outcome"] for item in found)["block"] == 2 * 40 - 2


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("certificates"))


def secured(folder: Path, files: Certificates) -> Broker:
    """A broker that speaks TLS alone, and asks for user and password."""
    broker = Broker(folder)
    at, beside = broker.port, broker.port + 1
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    users = 'username="broker" password="b-secret" user_broker="b-secret" user_worker="w-secret"'
    broker.settings = {
        "listeners": f"SASL_SSL://127.0.0.1:{at},CONTROLLER://127.0.0.1:{beside}",
        "advertised.listeners": f"SASL_SSL://127.0.0.1:{at}",
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "SASL_SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(files.server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(files.ca),
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f"{login} {users};",
    }
    broker.client = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "worker",
        "sasl.password": "w-secret",
        "ssl.ca.location": str(files.ca),
    }
    return broker


def test_tls_and_passwords(servers: str, certificates: Certificates, tmp_path: Path) -> None:
    del servers  # asked for, so that it is skipped where there is no Kafka to start
    broker = secured(tmp_path / "kafka", certificates)
    broker.start()
    try:
        stage = Stage(broker.servers, tmp_path, "secured", client=broker.client)
        stage.feed([payment(number) for number in range(300)])

        def told(name: str = "right", **changed: str) -> str:
            config = tmp_path / f"{name}.toml"
            settings = {**broker.client} | {
                name.replace("_", "."): v for name, v in changed.items()
            }
            config.write_text("".join(f'{name} = "{v}"\n' for name, v in settings.items()))
            return f"--kafka-config={config}"

        command = stage.command()[len(COMMAND) :]
        # each of them waits for an answer, and all at once
        refused = [
            (started([*command, told(f"wrong-{at}", **changed)], tmp_path), word)
            for at, (changed, word) in enumerate(
                [
                    (
                        {"sasl_password": "wrong"},
                        "check the address, that it runs, and the security",
                    ),
                    ({"ssl_ca_location": str(certificates.other_ca)}, "the security settings"),
                    ({"security_protocol": "PLAINTEXT"}, "the security settings"),
                ]
            )
        ]
        for one, word in refused:
            said = one.communicate(timeout=240)[1].decode()
            assert one.returncode == 1
            assert word in " ".join(said.split())
            assert "Traceback" not in said
            assert "secret" not in said
        done = stage.headrace([*command, told()])
        assert done.returncode == 0, done.stderr
        source = f"--from=kafka://{broker.servers}"
        stage.done(["collect", stage.name, source, told()])
        assert "good" in stage.done(["verify", stage.name])
        assert len(stage.decisions()) == 300
    finally:
        broker.kill()
