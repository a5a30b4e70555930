"""The client of a schema registry, over real sockets, against a stub of its interface."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from registry_stub import RegistryStub, serving

from headrace.adapters.registry_settings import RegistrySettings
from headrace.adapters.schema_registry import SchemaRegistry
from headrace.core.errors import DataError, NotFound, SecurityError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stub() -> Iterator[RegistryStub]:
    with serving(RegistryStub()) as served:
        yield served


class Waits:
    """A clock that goes on only where someone waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waited: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def client(
    url: str, waits: Waits | None = None, said: list[str] | None = None, **settings: object
) -> SchemaRegistry:
    waits = waits or Waits()
    return SchemaRegistry(
        RegistrySettings(url, **settings),  # type: ignore[arg-type]  # tests name what they set
        say=(said if said is not None else []).append,
        sleep=waits.sleep,
        clock=waits.clock,
    )


def test_an_id_is_asked_for_once(stub: RegistryStub) -> None:
    number = stub.add("AVRO", '"string"')
    registry = client(stub.url)
    found = [registry.schema(number) for _ in range(3)]
    assert [(item.number, item.form, item.text) for item in found] == [(1, "AVRO", '"string"')] * 3
    assert stub.requests == ["/schemas/ids/1"]


def test_an_unknown_id_is_remembered_for_a_while(stub: RegistryStub) -> None:
    waits = Waits()
    registry = client(stub.url, waits)
    for _ in range(3):
        with pytest.raises(NotFound, match="does not have the schema id 1"):
            registry.schema(1)
    assert len(stub.requests) == 1
    stub.add("AVRO", '"string"')
    waits.now += 31
    assert registry.schema(1).text == '"string"'
    with pytest.raises(NotFound):
        registry.schema(2**32 - 1)  # no id that a registry gives
    assert len(stub.requests) == 2


def test_it_is_asked_again_while_it_is_gone(stub: RegistryStub) -> None:
    number = stub.add("AVRO", '"string"')
    stub.failing = 4
    waits, said = Waits(), list[str]()
    assert client(stub.url, waits, said).schema(number).text == '"string"'
    assert waits.waited == [0.1, 0.2, 0.4, 0.8]
    assert len(said) == 2
    assert "does not answer (HTTP 503" in said[0]
    assert "answers again" in said[1]


def test_patience_ends_with_what_to_do(stub: RegistryStub) -> None:
    stub.failing = 10**6
    waits = Waits()
    with pytest.raises(Unavailable, match=r"has not answered for 60 seconds .*nothing was lost"):
        client(stub.url, waits).schema(1)
    assert 50 < sum(waits.waited) <= 60
    assert max(waits.waited) == 5
    assert len(stub.requests) == len(waits.waited) + 1 < 25


def test_a_server_that_went_away_is_found_again() -> None:
    kept = RegistryStub()
    number = kept.add("AVRO", '"string"')
    with serving(kept) as served:
        url, port = served.url, int(served.url.rsplit(":", 1)[1])
    waits = Waits()
    registry = client(url, waits)
    with pytest.raises(Unavailable, match="refused"):
        registry.schema(number)
    with serving(kept, port=port):
        assert registry.schema(number).text == '"string"'


def test_a_server_that_takes_and_never_answers_is_given_up() -> None:
    waits = Waits()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        registry = client(url, waits, timeout_seconds=0.05, patience_seconds=0.5)
        with pytest.raises(Unavailable, match="timed out"):
            registry.schema(1)
    assert waits.waited == [0.1, 0.2]


def test_another_address_answers_for_one_that_does_not(stub: RegistryStub) -> None:
    number = stub.add("AVRO", '"string"')
    with serving(RegistryStub()) as gone:
        dead = gone.url
    assert client(f"{dead}, {stub.url}/").schema(number).number == number


def test_basic_authentication(stub: RegistryStub) -> None:
    number = stub.add("AVRO", '"string"')
    stub.user, stub.password = "reader", "pässword:"
    allowed = client(stub.url, user="reader", password="pässword:")  # noqa: S106 - of the stub
    assert allowed.schema(number).number == number
    with pytest.raises(SecurityError, match="check user and password"):
        client(stub.url, user="reader", password="wrong").schema(number)  # noqa: S106 - the same


def test_subjects_and_references(stub: RegistryStub) -> None:
    registry = client(stub.url)
    number = registry.register("payments value", "AVRO", '"long"')
    assert registry.latest("payments value").number == number
    assert registry.latest("payments value").text == '"long"'
    with pytest.raises(NotFound, match="Subject not found"):
        registry.latest("nothing")
    with pytest.raises(DataError, match=r"refuses the schema .*incompatible"):
        registry.register("payments value", "AVRO", '"incompatible"')


def test_what_is_no_registry_stops_instead_of_refusing_events(stub: RegistryStub) -> None:
    with pytest.raises(Unavailable, match="check the address"):
        client(stub.url + "/elsewhere").schema(1)
    stub.schemas[1] = {"hello": "world"}
    with pytest.raises(Unavailable, match="check the address"):
        client(stub.url).schema(1)
    with pytest.raises(DataError, match="expected http://HOST:PORT"):
        client("localhost:8081")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1, signed by itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "registry.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def test_tls_is_trusted_by_its_authority_alone(certificate: Path, tmp_path: Path) -> None:
    kept = RegistryStub()
    number = kept.add("AVRO", '"string"')
    with serving(kept, certificate=certificate) as served:
        assert client(served.url, ca=certificate).schema(number).number == number
        with pytest.raises(SecurityError, match="is not trusted"):
            client(served.url).schema(number)
    with pytest.raises(SecurityError, match="cannot be read"):
        client("https://127.0.0.1:1", ca=tmp_path / "none.pem")
