"""A vault as records of a compacted log, against a dictionary of what was drawn and erased."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.columns import Text
from headrace.core.errors import NotFound, SecurityError
from headrace.security.keys import LocalMasterKey
from headrace.security.vault import Erased, Vault
from headrace.security.vault_log import VaultLog

MASTER = LocalMasterKey(bytes(range(32)))
PLACE = "headrace.case.vault/3"


class Log:
    """The last value of each key: what a compacted topic holds."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.dice = random.Random(5)

    def opened(self, *, keep: bool = False, place: str = PLACE) -> tuple[VaultLog, Vault]:
        log = VaultLog(place, dict(self.records), MASTER, self.dice.randbytes, keep=keep)
        return log, Vault.kept_in(log, self.dice.randbytes)

    def take(self, log: VaultLog) -> None:
        for name, value in log.taken():
            if value is None:
                self.records.pop(name, None)
            else:
                self.records[name] = value


def drawn(vault: Vault, values: list[str], domain: str = "card") -> list[str]:
    return [item or "" for item in vault.surrogates(domain, Text.of(values)).strings()]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("draw"), st.lists(st.integers(0, 30), min_size=1, max_size=6)),
        st.tuples(st.just("commit"), st.just([])),
        st.tuples(st.just("crash"), st.just([])),
        st.tuples(st.just("erase"), st.lists(st.integers(0, 30), min_size=1, max_size=1)),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(ACTIONS)
def test_whoever_takes_the_lane_has_the_same_surrogates(
    actions: list[tuple[str, list[int]]],
) -> None:
    kept = Log()
    log, vault = kept.opened()
    durable: dict[str, str] = {}
    known: dict[str, str] = {}
    for action, numbers in actions:
        values = [f"card {number}" for number in numbers]
        if action == "draw":
            for value, surrogate in zip(values, drawn(vault, values), strict=True):
                assert known.setdefault(value, surrogate) == surrogate
        elif action == "commit":
            vault.commit()
            kept.take(log)
            durable = dict(known)
        elif action == "crash":  # what was not committed is in no log, and may be drawn anew
            log, vault = kept.opened()
            known = dict(durable)
        elif values[0] in durable:
            eraser, opened = kept.opened(keep=True)
            assert opened.reveal(durable[values[0]]) == values[0]
            opened.erase(durable[values[0]])
            opened.commit()
            kept.take(eraser)
            gone = durable.pop(values[0])
            log, vault = kept.opened()
            known = dict(durable)
            with pytest.raises(Erased):
                vault.reveal(gone)
            assert vault.find("card", values[0]) is None
    assert len(set(known.values())) == len(known)
    assert {value: vault.find("card", value) for value in known} == known


def test_nothing_plain_is_in_the_records() -> None:
    kept = Log()
    log, vault = kept.opened()
    (surrogate,) = drawn(vault, ["4000-1234"])
    reference = vault.seal(b"{secret", reason="not JSON", expires_ns=7)
    vault.commit()
    kept.take(log)
    everything = b"".join(kept.records.values())
    assert b"4000-1234" not in everything
    assert b"secret" not in everything
    assert surrogate.encode() not in everything
    again, opened = kept.opened(keep=True)
    assert opened.unseal(reference) == b"{secret"
    assert opened.purge(8) == 1
    kept.take(again)
    with pytest.raises(NotFound):
        kept.opened(keep=True)[1].unseal(reference)


def test_records_of_another_lane_or_key_do_not_open() -> None:
    kept = Log()
    log, vault = kept.opened()
    drawn(vault, ["one"])
    vault.commit()
    kept.take(log)
    with pytest.raises(SecurityError, match="master key"):
        kept.opened(place="headrace.case.vault/4")
    with pytest.raises(SecurityError, match="master key"):
        VaultLog(PLACE, kept.records, LocalMasterKey(bytes(32)), random.randbytes)
    changed = bytearray(kept.records["page/1"])
    changed[-1] ^= 1
    kept.records["page/1"] = bytes(changed)
    with pytest.raises(SecurityError, match="page/1"):
        kept.opened()


def test_a_worker_keeps_no_pages_in_memory() -> None:
    kept = Log()
    log, vault = kept.opened()
    (surrogate,) = drawn(vault, ["one"])
    vault.commit()
    kept.take(log)
    with pytest.raises(NotFound, match="topic alone"):
        vault.reveal(surrogate)
