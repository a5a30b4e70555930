from pathlib import Path

import pytest

from headrace.adapters.kafka.address import KafkaAddress, client_settings
from headrace.core.errors import DataError, NotFound
from headrace.runtime.kafka_topics import Topics
from headrace.runtime.sources import SourceName


def test_settings_with_a_dot_are_the_clients() -> None:
    found = KafkaAddress.of(
        "kafka://a:1,b:2/pay.ments?single&until=end&security.protocol=SASL_SSL",
        frozenset({"single", "until"}),
    )
    assert (found.servers, found.topic) == ("a:1,b:2", "pay.ments")
    assert found.settings == {"single": "", "until": "end"}
    assert found.client == {"security.protocol": "SASL_SSL"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("kafka://host:1", "expected kafka://HOST:PORT/TOPIC"),
        ("kafka:///topic", "expected kafka://HOST:PORT/TOPIC"),
        ("kafka://host:1/a/b", "expected kafka://HOST:PORT/TOPIC"),
        ("kafka://host:1/t?sinlge", "no setting 'sinlge'; there are single"),
        ("kafka://host:1/t?isolation.level=read_uncommitted", "Headrace's to set"),
        ("kafka://host:1/t?transactional.id=x", "Headrace's to set"),
    ],
)
def test_what_cannot_be_meant_is_told(text: str, word: str) -> None:
    with pytest.raises(DataError, match=word):
        KafkaAddress.of(text, frozenset({"single"}))


def test_settings_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "kafka.toml"
    path.write_text(
        'security.protocol = "SSL"\nsocket.keepalive.enable = true\n[ssl.key]\nlocation = "k.pem"\n'
    )
    assert client_settings(path) == {
        "security.protocol": "SSL",
        "socket.keepalive.enable": "true",
        "ssl.key.location": "k.pem",
    }
    path.write_text('group.id = "mine"\n')
    with pytest.raises(DataError, match=r"group\.id is Headrace's to set"):
        client_settings(path)
    path.write_text("security.protocol = SSL\n")
    with pytest.raises(DataError, match="is no TOML"):
        client_settings(path)
    with pytest.raises(NotFound, match="--kafka-config"):
        client_settings(tmp_path / "none.toml")


def test_a_stream_is_named_before_the_address() -> None:
    text = "chargebacks=kafka://h:1/t?until=end"
    assert SourceName.of(text, "payments") == SourceName("chargebacks", "kafka://h:1/t?until=end")


@pytest.mark.parametrize(
    ("sources", "sinks", "word"),
    [
        (["kafka://a:1/t"], ["kafka://b:1/u"], "several clusters"),
        (["kafka://a:1/t"], ["kafka://a:1/t"], "named twice"),
        (["kafka://a:1/t", "more=lines.jsonl"], [], "topics are live, and files are history"),
        (["kafka://a:1/t"], ["kafka://a:1/u?single"], "no setting 'single'"),
    ],
)
def test_topics_must_fit_each_other(sources: list[str], sinks: list[str], word: str) -> None:
    with pytest.raises(DataError, match=word):
        Topics.named(sources, sinks, {}, "payments")
