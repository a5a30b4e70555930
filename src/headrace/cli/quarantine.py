"""`headrace quarantine`: what was not accepted, and its way back in."""

from __future__ import annotations

import datetime as dt
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from rich.table import Table
from rich.text import Text

from headrace.adapters.kafka.address import registry_settings
from headrace.adapters.kafka.topic_form import registry as registry_of
from headrace.cli.terminal import aside, console, stages
from headrace.core.errors import DataError, NotFound
from headrace.events.reasons import Reason
from headrace.journal.batch import InputKind
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case
from headrace.runtime.local_lane import (
    FROM_TOPIC,
    LocalLane,
    admission_name,
    master_key,
    open_vault,
    signing_key,
)
from headrace.runtime.models import model_of
from headrace.runtime.quarantine import (
    SOURCE,
    judging_name,
    quarantined,
    quarantined_in,
    raw_bytes,
)
from headrace.runtime.quarantine import retry as retry_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from headrace.adapters.kafka.cluster import Cluster
    from headrace.adapters.schema_registry import SchemaRegistry
    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.quarantine import QuarantinedInput
    from headrace.security.vault import Vault

#: The columns of csv and json, and which attribute of an item each shows.
_FORM = {
    "input": "seq",
    "stream": "stream",
    "source": "source",
    "position": "position",
    "received": "received_ns",
    "reason": "reason",
    "field": "field",
    "value": "value",
    "expected": "expected",
    "back_as": "retried_as",
}


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class InLane:
    """Which lane, and where its journal is.

    Attributes:
        lane: Its number, where a use case has several.
        from_: The cluster that the journal is collected from, kafka://HOST:PORT; without it, what
            the home has is taken.
        kafka_config: A TOML file with settings of the Kafka client and of a schema registry.
    """

    lane: int = 0
    from_: str | None = None
    kafka_config: Path | None = None


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Anew:
    """How events of a lane over Kafka are read and decided once more.

    Attributes:
        sink: A topic that decisions go to, kafka://HOST:PORT/TOPIC.
        registry: The schema registry of events that came in its wire format, http://HOST:PORT.
        key: The field that topics are written by, where that cannot be told by the stages there
            are.
    """

    sink: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    registry: str | None = None
    key: str | None = None


app = App(name="quarantine", help="List, show and retry quarantined events.")


@app.command(name="list", usage="headrace quarantine list [OPTIONS] [USE_CASE]\n")
def list_(
    use_case: str | None = None,
    /,
    *,
    where: InLane | None = None,
    reason: str | None = None,
    form: Literal["table", "csv", "json"] = "table",
    rows: int = 50,
    home: Path | None = None,
) -> None:
    """List what was not accepted, with field, value, reason and what was expected.

    Parameters
    ----------
    use_case
        Whose journal; the home's only one when left out.
    reason
        Only those of this reason, such as late.
    form
        How the list is printed; csv and json have all of it.
    rows
        The most that a table shows.
    home
        The folder of journal, models, vault and keys.
    """
    if rows < 1:
        raise DataError(f"--rows {rows}: expected 1 or more")
    place = Home.at(home)
    wanted = _reason(reason)
    _, found, _ = _found(place, use_case, where or InLane())
    chosen = [item for item in found if wanted is None or item.reason == wanted]
    if form != "table":
        _write(chosen, form)
    elif chosen:
        console.print(_table(chosen[:rows]))
        if len(chosen) > rows:
            console.print(f"{rows} of {len(chosen):,}; more with --rows, all with --form csv")
    elif found:
        there = ", ".join(dict.fromkeys(item.reason for item in found))
        console.print(f"nothing is in quarantine for reason {wanted!r}; what is there is {there}")
    else:
        console.print("nothing is in quarantine")


def _table(items: Sequence[QuarantinedInput]) -> Table:
    """A table that can be read in 80 columns: values are text, whatever stands in them."""
    table = Table()
    for name in ("input", "stream", "reason"):
        table.add_column(name, no_wrap=True)
    table.add_column("what was wrong", overflow="fold")
    back = any(item.retried_as is not None for item in items)
    if back:
        table.add_column("back as", no_wrap=True)
    for item in items:
        cells = [str(item.seq), item.stream, item.reason, _wrong(item)]
        if back:
            cells.append("" if item.retried_as is None else str(item.retried_as))
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _wrong(item: QuarantinedInput) -> str:
    """The field, its value and what was expected, as far as they are known."""
    told = f"{item.field} is {item.value}" if item.field else ""
    expected = f"expected {item.expected}" if item.expected else ""
    return "; ".join(part for part in (told, expected) if part)


def _write(items: Sequence[QuarantinedInput], form: Literal["csv", "json"]) -> None:
    """Every item with all that is known of it, to stdout."""
    rows = [
        {
            name: _time(item) if name == "received" else getattr(item, of)
            for name, of in _FORM.items()
        }
        for item in items
    ]
    if form == "json":
        import msgspec  # noqa: PLC0415 - needed for this form alone

        for row in rows:
            sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
        return
    import csv  # noqa: PLC0415 - needed for this form alone

    writer = csv.DictWriter(sys.stdout, _FORM, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _time(item: QuarantinedInput) -> str:
    return dt.datetime.fromtimestamp(item.received_ns / 1e9, tz=dt.UTC).isoformat()


@app.command
def show(
    seq: int,
    /,
    *,
    use_case: str | None = None,
    where: InLane | None = None,
    raw: bool = False,
    home: Path | None = None,
) -> None:
    """Show one quarantined input.

    Parameters
    ----------
    seq
        Its number, as in the list.
    use_case
        Whose journal; the home's only one when left out.
    raw
        Open its sealed bytes, personal data and all: with the master key of the home.
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    where = where or InLane()
    name, found, cluster = _found(place, use_case, where)
    item = _one(found, seq)
    lines = [
        f"input {item.seq} of stream {item.stream}: {item.reason}",
        f"  from {item.source}, event {item.position:,}, received {_time(item)}",
    ]
    if item.field:
        lines.append(f"  field {item.field}: {item.value}")
    if item.expected:
        lines.append(f"  expected: {item.expected}")
    if item.retried_as is not None:
        lines.append(f"  accepted on retry, as input {item.retried_as}")
    if item.reference:
        lines.append(f"  {item.length:,} bytes are sealed in the vault; --raw opens them")
    if raw and cluster is None and item.source.startswith(FROM_TOPIC):
        raise NotFound(
            f"the bytes of input {seq} are sealed in a topic; say in which cluster, with"
            " --from kafka://HOST:PORT"
        )
    if raw:
        with _vault(place, cluster, name, where.lane) as vault:
            lines.append(raw_bytes(vault, item).decode("utf-8", "backslashreplace"))
    for line in lines:
        console.out(line, highlight=False)


@app.command
def retry(
    case: str,
    /,
    *,
    seq: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    reason: str | None = None,
    where: InLane | None = None,
    anew: Anew | None = None,
    home: Path | None = None,
) -> None:
    """Put quarantined events through the use case once more, as backfills.

    They are read in the form that they came in, under the schema of today. Of a lane over Kafka
    the journal is collected first, and the lane taken over meanwhile. Where a use case is worked
    on in stages, they enter at the first, and its workers decide them.

    Parameters
    ----------
    case
        A Python file with the use case (FILE.py, or FILE.py:NAME), or a ready-made one.
    seq
        Which, by number.
    reason
        All of this reason, such as late.
    home
        The folder of journal, models, vault and keys.
    """
    if not seq and reason is None:
        raise DataError("nothing to retry: name inputs with --seq, or a --reason")
    wanted = _reason(reason)
    place = Home.at(home)
    use_case = load_case(case)
    where, anew = where or InLane(), anew or Anew()
    schemas = _registry(where, anew)
    name, found, cluster = _found(place, use_case.name, where)
    chosen = [_one(found, number) for number in seq] or [
        item for item in found if item.reason == wanted and item.retried_as is None
    ]
    if not chosen:
        raise NotFound(f"nothing is in quarantine for reason {wanted!r}")
    staged = name != use_case.name
    if staged:
        _check_can_go_on(use_case, chosen, where, anew)
    with (
        stages() as stage,
        _opened(
            use_case,
            place,
            cluster,
            where,
            anew,
            lambda done, most: stage("replaying", done, most),
        ) as local,
    ):
        made = retry_inputs(local, sorted(chosen, key=lambda item: item.seq), schemas)
        refused = [item for batch in made for item in quarantined_in(batch, local.header)]
    decided = sum(len(batch.decisions) for batch in made)
    back = sum(int((batch.inputs.kind == InputKind.BACKFILL).sum()) for batch in made)
    doubled = len(chosen) - back - len(refused)
    twice = f", {doubled} known already" if doubled else ""
    how = "for the workers to decide" if staged else f"{decided} decided"
    console.print(
        f"{len(chosen)} retried: {back} accepted as backfills, {how}{twice},"
        f" {len(refused)} refused again"
    )
    for item in refused:
        why = _wrong(item)
        told = f"  input {item.position}: {item.reason}" + (f"; {why}" if why else "")
        console.print(Text(told), soft_wrap=True)


def _check_can_go_on(
    use_case: UseCase, chosen: Sequence[QuarantinedInput], where: InLane, anew: Anew
) -> None:
    """What is retried in stages must be able to go on from admission.

    Raises:
        DataError: A row of a table is among it, a sink was named, or no cluster.
    """
    if where.from_ is None:
        raise DataError(
            f"{use_case.name} is worked on in stages, and this home has a copy of the journal of"
            " its admission: name the cluster that it is in with --from kafka://HOST:PORT"
        )
    tables = {table.name for table in use_case.plan.tables}
    rows = [item for item in chosen if item.stream in tables]
    if rows:
        raise DataError(
            f"input {rows[0].seq} is a row of the table {rows[0].stream}, which every stage reads"
            " by itself; correct it at its source and send it anew"
        )
    if anew.sink:
        raise DataError(
            f"--sink {anew.sink[0]}: {use_case.name} is worked on in stages, and its workers decide"
            " what is retried, into their own sinks; leave it out"
        )


def _registry(where: InLane, anew: Anew) -> SchemaRegistry | None:
    """The registry that is named, if one is."""
    told = _registry_settings(where, anew)
    return registry_of(told) if told else None


def _registry_settings(where: InLane, anew: Anew) -> Mapping[str, str]:
    """What is said of a registry; nothing where none is named."""
    told = {} if where.kafka_config is None else registry_settings(where.kafka_config)
    return {**told, "url": anew.registry} if anew.registry is not None else told


def _found(
    home: Home, use_case: str | None, where: InLane
) -> tuple[str, list[QuarantinedInput], Cluster | None]:
    """The name of the journal that has them, what is quarantined, and the cluster if one is named.

    From a cluster, the journal is collected into the home first.
    """
    cluster = None
    if where.from_ is None:
        name = _judging(home, use_case)
    else:
        if use_case is None:
            raise DataError(f"--from {where.from_}: name the use case whose journal is there")
        from headrace.cli.collect import collected, named_cluster  # noqa: PLC0415 - an extra
        from headrace.runtime.topic_retry import judging_lanes  # noqa: PLC0415 - the same

        cluster = named_cluster(where.from_, where.kafka_config)
        name = judging_lanes(cluster, use_case)
        collected(name, cluster, [signing_key(home).public], home)
    lanes = home.lanes(name)
    if where.lane not in lanes:
        there = ", ".join(map(str, lanes))
        raise NotFound(f"{name} has no lane {where.lane} here; expected one of {there}")
    return name, quarantined(home.journal(name, where.lane)), cluster


@contextmanager
def _vault(home: Home, cluster: Cluster | None, name: str, lane: int) -> Iterator[Vault]:
    """The vault of a lane, wherever it is."""
    if cluster is None:
        vault = open_vault(home)
        try:
            yield vault
        finally:
            vault.close()
        return
    from headrace.adapters.kafka.transactions import LaneId  # noqa: PLC0415 - an extra
    from headrace.runtime.topic_vault import looked_into  # noqa: PLC0415 - the same

    with looked_into(cluster, LaneId(name, lane), master_key(home)) as vault:
        yield vault


def _opened(
    use_case: UseCase,
    home: Home,
    cluster: Cluster | None,
    where: InLane,
    anew: Anew,
    progress: Callable[[int, int], None],
) -> AbstractContextManager[LocalLane]:
    """The lane, wherever its journal is."""
    if cluster is None:
        definition = use_case.definition(model_of(use_case, home))
        return LocalLane(definition, home, [SOURCE], progress=progress, lane=where.lane)
    from headrace.adapters.kafka.address import KafkaAddress  # noqa: PLC0415 - an extra
    from headrace.runtime.kafka_sinks import DecisionSinks  # noqa: PLC0415 - the same
    from headrace.runtime.kafka_topics import SINK_SETTINGS  # noqa: PLC0415 - the same
    from headrace.runtime.topic_retry import Entrance, taken_over  # noqa: PLC0415 - the same

    entrance = Entrance.of(use_case, home, cluster, anew.key)
    addresses = [KafkaAddress.of(sink, SINK_SETTINGS) for sink in anew.sink]
    sinks = DecisionSinks(addresses, cluster, _registry_settings(where, anew))
    return taken_over(
        entrance, home, cluster, where.lane, sinks, say=aside.print, progress=progress
    )


def _reason(text: str | None) -> str | None:
    """A reason as it is recorded; `wrong-type` is `wrong type`.

    Raises:
        DataError: There is no such reason.
    """
    if text is None:
        return None
    known = [reason.text for reason in Reason]
    plain = text.lower().replace("-", " ").replace("_", " ")
    if plain not in known:
        names = ", ".join(name.replace(" ", "-") for name in known)
        raise DataError(f"--reason {text}: there is no such reason; expected one of {names}")
    return plain


def _judging(home: Home, use_case: str | None) -> str:
    """The name of the journal in a home that has what was not accepted."""
    known = home.use_cases()
    cases = list(dict.fromkeys(name.partition(".")[0] for name in known))  # stages have a dot
    named = cases[0] if use_case is None and len(cases) == 1 else use_case
    if named is not None and (named in known or home.lanes(admission_name(named))):
        return judging_name(home, named)
    if not known:
        raise NotFound(f"{home.folder} has no journal yet; headrace run makes one")
    raise NotFound(f"{home.folder} has the journals {', '.join(known)}: name one")


def _one(items: list[QuarantinedInput], seq: int) -> QuarantinedInput:
    for item in items:
        if item.seq == seq:
            return item
    raise NotFound(f"input {seq} is not in quarantine; headrace quarantine list shows what is")
