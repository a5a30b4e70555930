"""API keys: kept as hashes, read again when they change."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from headrace.core.errors import NotFound, SecurityError
from headrace.security.api_keys import ApiKeys, Role

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_key_is_not_kept_and_its_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "api-keys.json"
    secret = ApiKeys(path).add("gateway", [Role.DECIDE, Role.FEED])
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = ApiKeys(path)
    assert [again.may(secret, role) for role in Role] == [True, True, False, False]
    assert again.may(secret + "x", Role.DECIDE) is None
    assert again.may("", Role.DECIDE) is None


def test_what_another_process_changes_is_seen_within_a_second(tmp_path: Path) -> None:
    path, clock = tmp_path / "api-keys.json", Clock()
    serving = ApiKeys(path, clock)
    other = ApiKeys(path)
    secret = other.add("gateway", [Role.DECIDE])
    assert serving.may(secret, Role.DECIDE) is None
    clock.now += 1.0
    assert serving.may(secret, Role.DECIDE) is True
    other.remove("gateway")
    clock.now += 1.0
    assert serving.may(secret, Role.DECIDE) is None


def test_the_last_key_leaves_the_door_shut(tmp_path: Path) -> None:
    path, clock = tmp_path / "api-keys.json", Clock()
    serving = ApiKeys(path, clock)
    assert not serving.guarding
    secret = ApiKeys(path).add("gateway", [Role.DECIDE])
    clock.now += 1.0
    assert serving.guarding
    ApiKeys(path).remove("gateway")
    clock.now += 1.0
    assert serving.may(secret, Role.DECIDE) is None
    assert len(serving) == 0
    assert serving.guarding


def test_mistakes_are_said(tmp_path: Path) -> None:
    path = tmp_path / "api-keys.json"
    keys = ApiKeys(path)
    keys.add("gateway", [Role.DECIDE])
    with pytest.raises(SecurityError, match="there is a key 'gateway' already"):
        keys.add("gateway", [Role.READ])
    with pytest.raises(SecurityError, match="give it a role: decide, feed, read, observe"):
        keys.add("other", [])
    for name in ("", " ", "gateway ", "a\nb"):
        with pytest.raises(SecurityError, match="could not be told from others"):
            keys.add(name, [Role.READ])
    with pytest.raises(NotFound, match="no key 'other'; there are: gateway"):
        keys.remove("other")
    path.write_text("[{]")
    with pytest.raises(SecurityError, match="no list of API keys"):
        ApiKeys(path)
