"""`headrace erase`: make an end of one person's data."""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path

from headrace.cli.replay import replay
from headrace.cli.terminal import aside, console
from headrace.cli.verify import verify
from headrace.core.errors import DataError, NotFound
from headrace.runtime.erasure import erase as erase_person
from headrace.runtime.home import Home
from headrace.runtime.local_lane import open_vault


def erase(
    surrogate: str | None = None,
    /,
    *,
    field: str | None = None,
    yes: bool = False,
    check: bool = False,
    home: Path | None = None,
) -> None:
    """Erase one person: the key that opens the person's data, and all that was sealed under it.

    Surrogates that stand in the journal then stand for nobody. The journal records the erasure.

    Parameters
    ----------
    surrogate
        What stands for the person in the journal.
    field
        Or the field of the person's value, such as card. The value is asked for, or read from
        stdin: as an argument it would end in the shell's history.
    yes
        Do not ask whether it is meant.
    check
        Verify and replay the journals afterwards.
    home
        The folder of journal, models, vault and keys.
    """
    if (surrogate is None) == (field is None):
        raise DataError("name one person: a surrogate of the journal, or the --field of a value")
    place = Home.at(home)
    if not place.vault.is_dir():
        raise NotFound(f"{place.folder} has no vault yet; headrace run makes one")
    value = _value(field) if field else ""
    vault = open_vault(place)
    try:
        person = surrogate or vault.find(field or "", value)
        if person is None:
            raise NotFound(f"the vault holds no {field} of that value; nothing was erased")
        if not yes:
            _confirm(person, vault.owned(person))
        done = erase_person(place, vault, person)
    finally:
        vault.close()
    console.print(f"{person} is erased: {_counted(done.values)}", highlight=False)
    if done.use_cases:
        console.print(f"recorded in the journals of {', '.join(done.use_cases)}", highlight=False)
    if check:
        for use_case in done.use_cases:
            verify(use_case, home=home)
            replay(use_case, home=home)


def _value(field: str) -> str:
    """The value of the person, from a prompt that shows nothing, or from stdin."""
    if sys.stdin.isatty():
        return getpass(f"{field} (not shown): ")
    return sys.stdin.readline().removesuffix("\n").removesuffix("\r")


def _counted(values: int) -> str:
    return f"{values:,} value{'' if values == 1 else 's'} with the key that opened them"


def _confirm(person: str, values: int) -> None:
    """Ask whether it is meant.

    Raises:
        DataError: It is not, or there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise DataError(f"{_counted(values)} would be erased; say --yes to do so")
    aside.print(f"{person}: {_counted(values)}, for good", highlight=False)
    if input("erase? type yes: ").strip() != "yes":
        raise DataError("nothing was erased")
