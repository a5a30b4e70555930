"""Stages on a real Kafka: features of a second key, whatever is killed in between."""

import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import pytest
from confluent_kafka import Producer

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.broker import make_topic
from tests.integration.kafka.topic_stage import COMMAND, Stage, inputs_in

from headrace.core.columns import Batch
from headrace.journal.reader import StoredBatch, stored_batches
from headrace.runtime.home import Home

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("HEADRACE_CHAOS_SECONDS", "20"))
PARTITIONS, CARDS, MERCHANTS = 3, 11, 7
HOUR = 3_600 * 10**9

CASE = """
import headrace as hr

class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key{personal}
    merchant: hr.Key
    amount: hr.Money("EUR")

class Chargeback(hr.Event):
    chargeback_id: hr.Id
    at: hr.EventTime
    payment_id: hr.Ref[Payment]
    merchant: hr.Key

payments = hr.stream(Payment, name="payments", lateness="2d")
chargebacks = hr.stream(Chargeback, name="chargebacks", lateness="2d")
card, merchant = payments.by("card"), payments.by("merchant")
features = hr.features(
    card_count_5m=card.count("5m"),
    merchant_count_1h=merchant.count("1h"),
    merchant_sum_1h=merchant.sum(payments.amount, "1h"),
    over_usual=payments.amount / merchant.mean(payments.amount, "1h"),
    back_1h=chargebacks.by("merchant").count("1h"),
)
case = hr.UseCase(
    name="{name}",
    on=payments,
    features=features,
    policy=hr.Policy(
        hr.block("burst", features.card_count_5m > 20),
        hr.review("busy", features.merchant_count_1h > 200),
        hr.review("unlike", features.over_usual > 1.5),
        otherwise=hr.approve(),
    ),
)
"""


def payment(number: int) -> bytes:
    """A payment; its time goes on by a second with each."""
    second, minute, hour = number % 60, number // 60 % 60, number // 3600 % 24
    return (
        f'{{"payment_id":"p{number}","at":"2026-03-01T{hour:02d}:{minute:02d}:{second:02d}Z",'
        f'"card":"c{number % CARDS}","merchant":"m{number * 5 % MERCHANTS}",'
        f'"amount":{number * 37 % 1000}.50}}'
    ).encode()


def chargeback(number: int) -> bytes:
    """A chargeback, a minute after its payment."""
    at = number + 60
    second, minute, hour = at % 60, at // 60 % 60, at // 3600 % 24
    return (
        f'{{"chargeback_id":"b{number}","at":"2026-03-01T{hour:02d}:{minute:02d}:{second:02d}Z",'
        f'"payment_id":"p{number}","merchant":"m{number * 5 % MERCHANTS}"}}'
    ).encode()


@dataclass
class StagedCase(Stage):
    """A use case with merchants beside cards; payments lie by card."""

    partitions: int = PARTITIONS
    payments: int = field(default=0, init=False)
    sent: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        personal = " = hr.field(pii=True, subject=True)" if self.personal else ""
        (self.folder / "case.py").write_text(CASE.format(name=self.name, personal=personal))
        make_topic(self.servers, self.backs, self.partitions)
        self.producer = Producer(
            {"bootstrap.servers": self.servers, "enable.idempotence": True, "log_level": 0}
        )

    @property
    def backs(self) -> str:
        return f"{self.name}.chargebacks"

    @property
    def stages(self) -> Sequence[str]:
        return (f"{self.name}.admission", f"{self.name}.by-merchant", self.name)

    def command(
        self, *, until: str = "&until=end", sink: str = "", home: Path | None = None
    ) -> list[str]:
        address = f"kafka://{self.servers}"
        return [
            *COMMAND,
            "run",
            "case.py",
            f"--source={address}/{self.source}?key=card&session.timeout.ms=6000{until}",
            f"--source=chargebacks={address}/{self.backs}",
            f"--sink={address}/{self.sink}{sink}",
            f"--home={home or self.home}",
        ]

    def send(self, count: int) -> None:
        """Payments, some of them twice, some chargebacks, and poison."""
        for number in range(self.payments, self.payments + count):
            place = number % CARDS % self.partitions
            self._send(self.source, payment(number), place)
            if number % 50 == 7:
                self._send(self.source, payment(number), place)
            if number % 90 == 11:
                self._send(self.source, b'{"payment_id":\n"cut', place)
            if number % 20 == 3:
                self._send(self.backs, chargeback(number), number % self.partitions)
        self.payments += count
        self.producer.poll(0)

    def _send(self, topic: str, payload: bytes, partition: int) -> None:
        self.producer.produce(topic, payload, partition=partition)
        self.sent += 1

    def check(self) -> None:
        """All journals are good and replay; features are right in the order of the side stage."""
        for name in self.stages:
            self.done(["collect", name, f"--from=kafka://{self.servers}"])
            assert "good" in self.done(["verify", name])
            assert "the same, byte for byte" in self.done(["replay", name])
        inputs = inputs_in(self.home, self.name)
        assert len(inputs) == self.sent
        assert {(item["from"], item["position"]) for item in inputs} == {
            (item["from"], item["position"]) for item in inputs_in(self.home, self.stages[0])
        }
        decided = {
            f"{item['lane']}/{item['seq']}": item["outcome"] for item in inputs if item["outcome"]
        }
        sent = self.decisions()
        assert {item["decision_id"]: item["outcome"] for item in sent} == decided
        assert len(sent) == len(decided) == self.payments
        assert set(Counter(item["event_id"] for item in sent).values()) == {1}
        quarantined = sum(item["kind"] == 2 for item in inputs)
        assert len(self.messages(self.quarantine)) == quarantined
        self._check_features()

    def batches(self, name: str) -> dict[int, list[StoredBatch]]:
        """What the lanes of a stage have journaled."""
        home = Home(self.home)
        return {lane: list(stored_batches(home.journal(name, lane))) for lane in home.lanes(name)}

    def _check_features(self) -> None:
        """Each value that decided is that of the brute force, in the order that was recorded."""
        computed = {}
        for stored in self.batches(self.stages[1]).values():
            computed.update(brute_force(stored))
        assert len(computed) == self.payments
        for lane, stored in self.batches(self.name).items():
            for one in stored:
                batch = one.batch()
                for at, seq in enumerate(batch.decisions.seq.tolist()):
                    _, count, total, over, backs = batch.decisions.features[:, at].tolist()
                    row = int(batch.inputs.row[seq - batch.first_seq])
                    cents = int(batch.events["payments"].fixed("amount").values[row])
                    expected = computed[lane, seq]
                    assert (count, round(total * 100), backs) == expected
                    mean = float(Fraction(expected[1], 100 * expected[0]))
                    assert over == (cents / 100) / mean


def brute_force(stored: Sequence[StoredBatch]) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Count, cents and chargebacks of the merchant's last hour, by lane and input of admission."""
    seen: dict[str | None, list[tuple[int, int]]] = defaultdict(list)
    backs: dict[str | None, list[int]] = defaultdict(list)
    found = {}

    def cell(rows: Batch, name: str, row: int) -> int:
        return int(rows.fixed(name).values[row])

    for one in stored:
        batch, header = one.batch(), one.header
        names = {name: rows.text("merchant").strings() for name, rows in batch.events.items()}
        for index in range(len(batch)):
            stream = header.stream_names[int(batch.inputs.stream[index])]
            row, rows = int(batch.inputs.row[index]), batch.events[stream]
            merchant, now = names[stream][row], cell(rows, "at", row)
            if stream == "chargebacks":
                backs[merchant].append(now)
                continue
            seen[merchant].append((now, cell(rows, "amount", row)))
            within = [cents for at, cents in seen[merchant] if now - HOUR < at <= now]
            lane = int(header.sources[int(batch.inputs.source[index])].rpartition("/")[2])
            count = sum(now - HOUR < at <= now for at in backs[merchant])
            found[lane, int(batch.inputs.position[index])] = (len(within), sum(within), count)
    return found


@pytest.fixture
def case(servers: str, tmp_path: Path) -> StagedCase:
    """A use case in stages, under a name that no other test has."""
    return StagedCase(servers, tmp_path, f"staged-{os.getpid()}-{abs(hash(tmp_path)) % 10**8}")


@pytest.fixture
def personal(servers: str, tmp_path: Path) -> StagedCase:
    """The same, whose cards are personal data."""
    name = f"personal-{os.getpid()}-{abs(hash(tmp_path)) % 10**8}"
    return StagedCase(servers, tmp_path, name, personal=True)


def test_features_of_both_keys(personal: StagedCase) -> None:
    case = personal
    case.send(1_500)
    case.producer.flush()
    first = case.run()
    assert first.returncode == 0, first.stderr
    case.send(300)
    case.producer.flush()
    second = case.run()
    assert second.returncode == 0, second.stderr
    assert "going on at input" in second.stderr
    case.check()
    # of personal data the side stage sees nothing, not even a surrogate
    (message, *_) = case.messages(f"headrace.{case.name}.events.merchant")
    assert b"merchant" in (message[1] or b"")
    assert b"card" not in (message[1] or b"")
    for stored in case.batches(case.stages[1])[0]:
        for rows in stored.batch().events.values():
            assert "card" not in rows.columns


def test_killed_at_random_moments(personal: StagedCase) -> None:
    case, dice, kills = personal, random.Random(5), 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        worker = case.started()
        for _ in range(dice.randrange(8, 30)):
            case.send(100)
            time.sleep(0.3)
        assert worker.poll() is None, worker.communicate()[1].decode()
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        kills += 1
    assert kills > 1
    case.producer.flush()
    done = case.run()
    assert done.returncode == 0, done.stderr
    case.check()


def test_stages_move_between_workers(case: StagedCase, tmp_path: Path) -> None:
    assert case.run().returncode == 0  # nothing is there yet: it makes the keys
    homes = [case.home, case.other_home("other")]
    said = tmp_path / "said"
    workers = [case.started(home=home, output=said) for home in homes]
    for _ in range(40):
        case.send(50)
        time.sleep(0.3)
    workers[0].send_signal(signal.SIGKILL)
    workers[0].wait()
    for _ in range(50):
        case.send(50)
        time.sleep(0.3)
    workers[1].send_signal(signal.SIGTERM)
    assert workers[1].wait(240) == 0, said.read_text()
    case.producer.flush()
    done = case.run()
    assert done.returncode == 0, done.stderr
    case.check()


@pytest.mark.parametrize(
    ("written", "instead", "says"),
    [
        ("?key=card", "?key=cards", "did you mean 'card'"),
        (
            'over_usual=payments.amount / merchant.mean(payments.amount, "1h")',
            'over_usual=payments.by("merchant", asked_by="card").count("1h")',
            "two partitions at once",
        ),
    ],
)
def test_what_cannot_be_in_stages_is_told(
    case: StagedCase, written: str, instead: str, says: str
) -> None:
    file = case.folder / "case.py"
    file.write_text(file.read_text().replace(written, instead))
    command = [part.replace(written, instead) for part in case.command()[len(COMMAND) :]]
    done = case.headrace(command)
    told = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert says in told
    assert "?single" in told
    assert "Traceback" not in told
