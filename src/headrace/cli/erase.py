"""`headrace erase`: make an end of one person's data."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.replay import replay
from headrace.cli.terminal import aside, console
from headrace.cli.verify import verify
from headrace.core.errors import DataError, NotFound
from headrace.runtime.erasure import erase as erase_person
from headrace.runtime.home import Home
from headrace.runtime.local_lane import master_key, open_vault, signing_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.adapters.kafka.cluster import Cluster
    from headrace.runtime.topic_erasure import KnownPerson

#: What a user is told before lanes are taken over.
_TAKEN_OVER = (
    "these lanes are taken over for it: a worker of a group has them again within a minute; stop"
    " one with ?single first"
)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class InTopics:
    """Where vaults and journals are that are in topics.

    Attributes:
        from_: The cluster, kafka://HOST:PORT; without it the person is erased from the home.
        use_case: Over Kafka: the use cases whose lanes may know the person; give it for each.
        kafka_config: A TOML file with settings of the Kafka client, such as those of security.
    """

    from_: str | None = None
    use_case: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    kafka_config: Path | None = None


def erase(
    # one in sixty-four begins with a hyphen
    surrogate: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    field: str | None = None,
    topics: InTopics | None = None,
    yes: bool = False,
    check: bool = False,
    home: Path | None = None,
) -> None:
    """Erase one person: the key that opens the person's data, and all that was sealed under it.

    Surrogates that stand in the journal then stand for nobody. The journal records the erasure.
    Over Kafka every lane that knows the person is taken over for a moment; a worker of a group
    goes on with it afterwards.

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
    topics = topics or InTopics()
    if topics.from_ is not None:
        recorded = _from_topics(Home.at(home), topics, surrogate, field, yes=yes, check=check)
    elif topics.use_case:
        raise DataError(
            "--use-case names use cases over Kafka, with --from kafka://HOST:PORT; from a home a"
            " person is erased whole"
        )
    else:
        recorded = _from_home(Home.at(home), surrogate, field, yes=yes)
    if check:
        for use_case in recorded:
            verify(use_case, home=home)
            replay(use_case, home=home)


def _from_home(home: Home, surrogate: str | None, field: str | None, *, yes: bool) -> Sequence[str]:
    """Erase a person from a home; returns the use cases whose journals record it."""
    if not home.vault.is_dir():
        raise NotFound(f"{home.folder} has no vault yet; headrace run makes one")
    value = _value(field) if field else ""
    vault = open_vault(home)
    try:
        person = surrogate or vault.find(field or "", value)
        if person is None:
            raise _unknown(f"the vault holds no {field}")
        if not yes:
            _confirm([f"{person}: {_counted(vault.owned(person))}, for good"])
        done = erase_person(home, vault, person)
    finally:
        vault.close()
    console.print(f"{person} is erased: {_counted(done.values)}", highlight=False)
    if done.use_cases:
        console.print(f"recorded in the journals of {', '.join(done.use_cases)}", highlight=False)
    return done.use_cases


def _from_topics(
    home: Home,
    topics: InTopics,
    surrogate: str | None,
    field: str | None,
    *,
    yes: bool,
    check: bool,
) -> Sequence[str]:
    """Erase a person from the lanes of a cluster; returns the use cases whose journals record it.

    Raises:
        NotFound: No lane knows the person, or the home has no keys.
    """
    from headrace.cli.collect import collected, named_cluster  # noqa: PLC0415 - an extra
    from headrace.runtime.topic_erasure import erase_over_kafka  # noqa: PLC0415 - the same

    cluster = named_cluster(str(topics.from_), topics.kafka_config)
    if not home.keys.is_dir():
        raise NotFound(
            f"{home.folder} has no keys; erase with a home that has a copy of the workers' folder"
            " of keys (see Keep keys, and back up)"
        )
    people = _known(home, cluster, topics.use_case, surrogate, field)
    if not yes:
        told = [
            f"{known.surrogate} of lane {known.lane}: {_counted(known.values)}, for good"
            for known in people
        ]
        _confirm([*told, _TAKEN_OVER])
    for done in erase_over_kafka(home, cluster, people, aside.print):
        known = done.person
        console.print(
            f"{known.surrogate} of lane {known.lane} is erased: {_counted(known.values)};"
            f" recorded in its journal as input {done.seq}",
            highlight=False,
        )
    recorded = tuple(dict.fromkeys(known.lane.use_case for known in people))
    for use_case in recorded if check else ():
        collected(use_case, cluster, [signing_key(home).public], home)
    return recorded


def _known(
    home: Home,
    cluster: Cluster,
    use_cases: Sequence[str],
    surrogate: str | None,
    field: str | None,
) -> list[KnownPerson]:
    """The person, as each lane knows it.

    Raises:
        NotFound: No lane does.
    """
    from headrace.runtime.topic_erasure import VaultsOverKafka  # noqa: PLC0415 - an extra

    if not use_cases:
        raise DataError(
            "name the use cases whose lanes may know the person, each with --use-case NAME"
        )
    vaults = VaultsOverKafka(cluster, use_cases, master_key(home))
    if surrogate is not None:
        return vaults.by_surrogate(surrogate)
    people = vaults.by_value(field or "", _value(field or ""))
    if not people:
        raise _unknown(f"no vault of {', '.join(use_cases)} holds a {field}")
    return people


def _value(field: str) -> str:
    """The value of the person, from a prompt that shows nothing, or from stdin."""
    if sys.stdin.isatty():
        return getpass(f"{field} (not shown): ")
    return sys.stdin.readline().removesuffix("\n").removesuffix("\r")


def _unknown(what: str) -> NotFound:
    return NotFound(f"{what} of that value; nothing was erased")


def _counted(values: int) -> str:
    return f"{values:,} value{'' if values == 1 else 's'} with the key that opened them"


def _confirm(told: Sequence[str]) -> None:
    """Say what would be done, and ask whether it is meant.

    Raises:
        DataError: It is not, or there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise DataError(f"{'; '.join(told)}. This would be erased; say --yes to do so")
    for line in told:
        aside.print(line, highlight=False)
    if input("erase? type yes: ").strip() != "yes":
        raise DataError("nothing was erased")
