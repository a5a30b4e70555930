"""A journal that is put into a store, and read from there by the real commands."""

import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))


from tests.integration.s3_server import S3Server
from tests.warm import headrace

from headrace.adapters.file_store import file_store
from headrace.core.errors import NotFound
from headrace.journal.reader import stored_batches
from headrace.runtime.stored_journal import StoredJournal

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("identity")]

CASE = """
import headrace as hr

class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    amount: hr.Money("EUR")

payments = hr.stream(Payment)
features = hr.features(count=payments.by("card").count("1h"))
limits = hr.UseCase(
    name="limits",
    on=payments,
    features=features,
    policy=hr.Policy(hr.review("burst", features.count > 2), otherwise=hr.approve()),
)
"""


def lines(first: int, count: int) -> str:
    return "".join(
        f'{{"payment_id":"p{n}","at":"2026-03-01T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}Z"'
        f',"card":"c{n % 7}","amount":"{n}.50"}}\n'
        for n in range(first, first + count)
    )


@dataclass
class Office:
    """A home with a journal, and the commands on it."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def journal(self) -> Path:
        return self.home / "journal" / "limits" / "0"

    def headrace(self, *arguments: str, home: Path | None = None, code: int = 0) -> str:
        variables = {"HEADRACE_HOME": str(home or self.home), "COLUMNS": "10000"}
        done = headrace(arguments, self.folder, variables, timeout=300)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def decide(self, first: int, count: int) -> None:
        with (self.folder / "payments.jsonl").open("a") as file:
            file.write(lines(first, count))
        self.headrace("run", "limits.py", "--source=payments.jsonl")


@pytest.fixture
def office(tmp_path: Path) -> Office:
    (tmp_path / "limits.py").write_text(CASE)
    return Office(tmp_path)


@pytest.fixture
def place(s3: S3Server, tmp_path: Path) -> str:
    return s3.bucket(f"evidence-{abs(hash(tmp_path)) % 10**9}").replace("?", "/bank?")


@pytest.fixture(params=["folder", "s3"])
def any_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    found = str(tmp_path / "store")
    return found if request.param == "folder" else request.getfixturevalue("place")


def test_commands_read_what_collect_put(office: Office, any_place: str) -> None:
    place = any_place
    office.decide(0, 50)
    assert "bytes put into" in office.headrace("collect", "limits", f"--to={place}")
    assert ": 0 bytes put" in office.headrace("collect", "limits", f"--to={place}")
    auditor = office.folder / "auditor"
    (auditor / "keys").mkdir(parents=True)
    key = office.home / "keys" / "signing.pem.pub"
    option = f"--journal={place}"
    assert "good" in office.headrace("verify", option, f"--public-key={key}", home=auditor)
    office.decide(50, 50)
    office.headrace("collect", "limits", f"--to={place}")

    said = office.headrace("replay", option, home=auditor)
    assert "100 inputs, 100 decisions rebuilt: the same, byte for byte" in said
    assert "p77" in office.headrace("explain", "limits/0/77", option, home=auditor)
    assert "p77" in office.headrace("explain", "p77", option, home=auditor)
    assert "100" in office.headrace(
        "query", "SELECT count(*) FROM decisions", option, "--form=csv", home=auditor
    )
    proof = office.folder / "proof.json"
    office.headrace("prove", "limits/0/99", option, f"--out={proof}")
    assert proof.exists()
    assert not (auditor / "journal").exists()


def test_a_changed_store_is_found(office: Office, place: str) -> None:
    office.decide(0, 50)
    office.headrace("collect", "limits", f"--to={place}")
    store = file_store(place)
    name = "journal/limits/0/0000000000.segment"
    content = store.read(name)
    store.put(name, content[:100] + bytes([content[100] ^ 1]) + content[101:])
    said = office.headrace("verify", f"--journal={place}", code=1)
    assert "is not what its index says" in said
    store.put(name, content)
    office.headrace("verify", f"--journal={place}")
    store.put("journal/limits/0.index.json", b'{"segments":[{"name":"../../keys/x"}]}')
    assert "is no index of a journal" in office.headrace("verify", f"--journal={place}", code=1)
    store.delete("journal/limits/0.index.json")
    assert "has no journal" in office.headrace("verify", f"--journal={place}", code=1)


def test_two_journals_are_not_mixed(office: Office, place: str) -> None:
    office.decide(0, 50)
    office.headrace("collect", "limits", f"--to={place}")
    other = office.folder / "other"
    office.headrace("run", "limits.py", "--source=payments.jsonl", home=other)
    said = office.headrace("collect", "limits", f"--to={place}", home=other, code=1)
    assert "the store has another journal, or more of this one" in said
    assert "good" in office.headrace("verify", f"--journal={place}")
    assert "no journal of 'none'" in office.headrace("collect", "none", f"--to={place}", code=1)
    assert "name a cluster with --from, or a store" in office.headrace("collect", "x", code=1)


def test_an_index_never_speaks_of_what_is_not_there(office: Office, place: str) -> None:
    """A keeper that stops between any two steps leaves a whole journal, the old or the new one."""
    office.decide(0, 30)
    store = file_store(place)
    keeper = StoredJournal(store, "limits")
    keeper.keep(office.journal)
    before = keeper.index()
    office.decide(30, 30)

    class Stops(Exception):
        pass

    class Stopping:
        """The store, until it was put to so often."""

        def __init__(self, after: int) -> None:
            self.left = after

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        def put(self, name: str, content: Path | bytes, size: int | None = None) -> None:
            if self.left == 0:
                raise Stops
            self.left -= 1
            store.put(name, content, size)

    seen = []
    for after in range(3):
        keeper_that_stops = StoredJournal(Stopping(after), "limits")  # type: ignore[arg-type]
        try:
            keeper_that_stops.keep(office.journal)
        except Stops:
            assert keeper.index() == before
        copy = office.folder / f"copy-{after}"
        keeper.fetch(copy)
        seen.append([item.link.next_seq for item in stored_batches(copy)][-1])
    assert seen == [30, 30, 60]


def test_a_copy_is_fetched_while_it_is_kept(office: Office, place: str) -> None:
    """A segment grows byte by byte, whatever was committed of it: copies are of whole groups."""
    for turn in range(4):
        office.decide(10 * turn, 10)
    whole = (office.journal / "0000000000.segment").read_bytes()
    growing = office.folder / "growing"
    growing.mkdir()
    keeper = StoredJournal(file_store(place), "limits")
    ended = threading.Event()

    def keep() -> None:
        for at in range(0, len(whole), len(whole) // 30):
            with (growing / "0000000000.segment").open("ab") as file:
                file.write(whole[at : at + len(whole) // 30])
            keeper.keep(growing)
        ended.set()

    writer = threading.Thread(target=keep)
    writer.start()
    copy = office.folder / "copy"
    seen = [0]
    while not ended.is_set() or seen[-1] < 40:
        try:
            keeper.fetch(copy)
        except NotFound:
            continue
        ends = [item.link.next_seq for item in stored_batches(copy)]
        seen.append(ends[-1] if ends else 0)
    writer.join()
    assert seen == sorted(seen)
    assert set(seen) <= {0, 10, 20, 30, 40}
    assert (copy / "0000000000.segment").read_bytes() == whole
