"""Stores of whole files: one suite for a folder and for a real server of S3."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from typing import TYPE_CHECKING

from tests.integration.s3_server import S3Server, s3_server

from headrace.adapters.file_store import FileStore, StoredFile, file_store
from headrace.core.errors import DataError, NotFound, SecurityError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("identity")

#: More than the client sends in one part.
LARGE = 25_000_000


@pytest.fixture(params=["folder", "bucket", "prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    if request.param == "folder":
        return file_store(str(tmp_path / "store"))
    server: S3Server = request.getfixturevalue("s3")
    address = server.bucket(f"b{abs(hash(tmp_path)) % 10**9}-{request.param}")
    return file_store(address.replace("?", "/some/prefix?" if request.param == "prefix" else "?"))


def test_what_is_put_is_what_is_read(store: FileStore, tmp_path: Path) -> None:
    """Random puts, deletes and reads, beside a dictionary that does the same."""
    held: dict[str, bytes] = {}
    dice = random.Random(7)
    names = ["a", "b/1", "b/2", "b/c/3", "bb/4"]
    for turn in range(120):
        name = dice.choice(names)
        content = dice.randbytes(dice.choice([0, 1, 100, 70_000]))
        match dice.randrange(4):
            case 0:
                store.put(name, content)
                held[name] = content
            case 1:
                path = tmp_path / f"content-{turn}"
                path.write_bytes(content)
                store.put(name, path)
                held[name] = content
            case 2:
                store.delete(name)
                held.pop(name, None)
            case 3 if name in held:
                start = dice.randrange(len(held[name]) + 1)
                assert store.read(name) == held[name]
                assert store.read(name, start) == held[name][start:]
                assert store.read(name, start, 5)[:5] == held[name][start : start + 5]
                store.fetch(name, tmp_path / "fetched" / name)
                assert (tmp_path / "fetched" / name).read_bytes() == held[name]
            case _:
                with pytest.raises(NotFound):
                    store.read("none")
        sizes = [StoredFile(name, len(held[name])) for name in sorted(held)]
        assert store.files() == sizes
        assert store.files("b") == [file for file in sizes if file.name.startswith("b/")]
    assert not list((tmp_path / "fetched").rglob("*.draft"))


def test_a_file_that_is_not_there(store: FileStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store.read("none")
    with pytest.raises(NotFound):
        store.fetch("none", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert store.files() == []
    store.delete("none")


@pytest.mark.slow
def test_a_reader_sees_one_content_or_the_other(store: FileStore, tmp_path: Path) -> None:
    contents = [bytes([letter]) * 7_000_000 for letter in b"ab"]
    store.put("state", contents[0])
    ended = threading.Event()

    def put() -> None:
        for turn in range(6):
            store.put("state", contents[turn % 2])
        ended.set()

    writer = threading.Thread(target=put)
    writer.start()
    seen = 0
    while not ended.is_set() or not seen:
        store.fetch("state", tmp_path / "state")
        assert (tmp_path / "state").read_bytes() in contents
        seen += 1
    writer.join()


PUT = """
import sys
from pathlib import Path
from headrace.adapters.file_store import file_store
store = file_store(sys.argv[1])
print("putting", flush=True)
store.put("state", Path(sys.argv[2]))
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_put_that_is_killed_leaves_what_was_there(store: FileStore, tmp_path: Path) -> None:
    store.put("state", b"old")
    place = getattr(store, "folder", None) or _address(store)
    new = tmp_path / "new"
    new.write_bytes(os.urandom(LARGE))
    killed = 0
    for delay in (0.0, 0.02, 0.05, 0.1, 0.2):
        store.put("state", b"old")
        with subprocess.Popen(
            [sys.executable, "-c", PUT, str(place), str(new)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL and b"done" not in process.stdout.read()
        assert [file.name for file in store.files()] == ["state"]
        assert store.read("state") in (b"old", new.read_bytes())
    assert killed


def _address(store: FileStore) -> str:
    client = store._client  # type: ignore[attr-defined]
    options = client.__reduce__()[1][0]
    return f"{store.place}?endpoint={options['scheme']}://{options['endpoint_override']}"


@pytest.mark.slow
def test_an_interrupted_put_leaves_what_was_there(s3: S3Server, tmp_path: Path) -> None:
    """Ctrl-C while an object is sent would close it, empty or half as long."""
    store = file_store(s3.bucket(f"interrupted-{abs(hash(tmp_path)) % 10**9}"))
    new = tmp_path / "new"
    new.write_bytes(os.urandom(LARGE))
    for delay in (*(step / 1000 for step in range(20)), 0.05, 0.1, 0.2):
        store.put("state", b"old")
        timer = threading.Timer(delay, signal.raise_signal, [signal.SIGINT])
        try:
            timer.start()
            store.put("state", new)
            timer.join()
            time.sleep(0.01)
        except KeyboardInterrupt:
            pass
        assert store.read("state") in (b"old", new.read_bytes())


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    wrong = [
        ("s3://", DataError, "expected s3://BUCKET/PREFIX"),
        ("s3://key:secret@bucket", DataError, "AWS_ACCESS_KEY_ID"),
        ("s3://bucket?acl=x", DataError, "'acl' means nothing here"),
        ("s3://bucket?endpoint=host", DataError, "expected http://HOST:PORT"),
        ("gs://bucket", DataError, "expected a folder, or s3://"),
    ]
    for address, kind, word in wrong:
        with pytest.raises(kind, match=word) as told:
            file_store(address)
        assert "secret" not in str(told.value)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        file_store(str(tmp_path / "file"))
    for name in ("", "/x", "a/../b", "a//b", "a/"):
        with pytest.raises(DataError, match="no name of a file"):
            file_store(str(tmp_path)).read(name)


def test_a_bucket_that_is_not_there(s3: S3Server) -> None:
    store = file_store(f"s3://nothing-here?endpoint={s3.url}")
    with pytest.raises(NotFound, match="there is no bucket 'nothing-here'"):
        store.put("a", b"x")


@pytest.mark.slow
def test_a_server_that_is_gone(tmp_path: Path) -> None:
    with s3_server() as server:
        store = file_store(server.bucket("gone"))
        store.put("a", b"x")
    calls: list[Callable[[], object]] = [
        lambda: store.put("a", b"y"),
        lambda: store.read("a"),
        lambda: store.fetch("a", tmp_path / "a"),
        store.files,
        lambda: store.delete("a"),
    ]
    for call in calls:
        with pytest.raises(Unavailable, match="Nothing was lost"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_let_us_in() -> None:
    with s3_server(INITIAL_NO_AUTH_ACTION_COUNT="0") as server:
        store = file_store(f"s3://closed?endpoint={server.url}")
        with pytest.raises(SecurityError, match="AWS_ACCESS_KEY_ID"):
            store.put("a", b"x")
