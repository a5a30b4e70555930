"""`headrace quarantine`: what was not accepted, and its way back in."""

from __future__ import annotations

import datetime as dt
import sys
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
from headrace.runtime.local_lane import LocalLane, signing_key
from headrace.runtime.models import model_of
from headrace.runtime.quarantine import SOURCE, quarantined, quarantined_in, raw_bytes
from headrace.runtime.quarantine import retry as retry_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from headrace.adapters.kafka.cluster import Cluster
    from headrace.adapters.schema_registry import SchemaRegistry
    from headrace.pipeline.lane import Definition
    from headrace.runtime.quarantine import QuarantinedInput

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
class OverKafka:
    """Where a lane is whose journal is in a topic.

    Attributes:
        from_: The cluster, kafka://HOST:PORT; without it the journal is the home's own.
        lane: Its number.
        sink: A topic that decisions go to, kafka://HOST:PORT/TOPIC.
        registry: The schema registry of events that came in its wire format, http://HOST:PORT.
        kafka_config: A TOML file with settings of the Kafka client and of a schema registry.
    """

    from_: str | None = None
    lane: int = 0
    sink: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    registry: str | None = None
    kafka_config: Path | None = None


app = App(name="quarantine", help="List, show and retry quarantined events.")


@app.command(name="list", usage="headrace quarantine list [OPTIONS] [USE_CASE]\n")
def list_(
    use_case: str | None = None,
    /,
    *,
    lane: int = 0,
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
    lane
        Which of its lanes, where it has several.
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
    found = quarantined(_journal(place, use_case, lane))
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
    lane: int = 0,
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
    lane
        Which of its lanes, where it has several.
    raw
        Open its sealed bytes, personal data and all.
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    item = _one(quarantined(_journal(place, use_case, lane)), seq)
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
    if raw:
        lines.append(raw_bytes(place, item).decode("utf-8", "backslashreplace"))
    for line in lines:
        console.out(line, highlight=False)


@app.command
def retry(
    case: str,
    /,
    *,
    seq: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    reason: str | None = None,
    over: OverKafka | None = None,
    home: Path | None = None,
) -> None:
    """Put quarantined events through the use case once more, as backfills.

    They are read in the form that they came in, under the schema of today. Of a lane over Kafka
    the journal is collected first, and the lane taken over meanwhile.

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
    over = over or OverKafka()
    schemas = _registry(over)
    cluster = None if over.from_ is None else _collected(over, place, use_case.name)
    found = quarantined(_journal(place, use_case.name, over.lane))
    chosen = [_one(found, number) for number in seq] or [
        item for item in found if item.reason == wanted and item.retried_as is None
    ]
    if not chosen:
        raise NotFound(f"nothing is in quarantine for reason {wanted!r}")
    definition = use_case.definition(model_of(use_case, place))
    with (
        stages() as stage,
        _opened(
            definition, place, cluster, over, lambda done, most: stage("replaying", done, most)
        ) as local,
    ):
        made = retry_inputs(local, sorted(chosen, key=lambda item: item.seq), schemas)
        refused = [item for batch in made for item in quarantined_in(batch, local.header)]
    decided = sum(len(batch.decisions) for batch in made)
    back = sum(int((batch.inputs.kind == InputKind.BACKFILL).sum()) for batch in made)
    doubled = len(chosen) - back - len(refused)
    twice = f", {doubled} known already" if doubled else ""
    console.print(
        f"{len(chosen)} retried: {back} accepted as backfills, {decided} decided{twice},"
        f" {len(refused)} refused again"
    )
    for item in refused:
        why = _wrong(item)
        told = f"  input {item.position}: {item.reason}" + (f"; {why}" if why else "")
        console.print(Text(told), soft_wrap=True)


def _registry(over: OverKafka) -> SchemaRegistry | None:
    """The registry that is named, if one is."""
    told = {} if over.kafka_config is None else registry_settings(over.kafka_config)
    if over.registry is not None:
        told = {**told, "url": over.registry}
    return registry_of(told) if told else None


def _collected(over: OverKafka, home: Home, use_case: str) -> Cluster:
    """The cluster, once the home's copy of the journal is that of the topic."""
    from headrace.cli.collect import collected, named_cluster  # noqa: PLC0415 - an extra

    cluster = named_cluster(str(over.from_), over.kafka_config)
    collected(use_case, cluster, [signing_key(home).public], home)
    return cluster


def _opened(
    definition: Definition,
    home: Home,
    cluster: Cluster | None,
    over: OverKafka,
    progress: Callable[[int, int], None],
) -> AbstractContextManager[LocalLane]:
    """The lane, wherever its journal is."""
    if cluster is None:
        return LocalLane(definition, home, [SOURCE], progress=progress, lane=over.lane)
    from headrace.adapters.kafka.address import KafkaAddress  # noqa: PLC0415 - an extra
    from headrace.adapters.kafka.transactions import LaneId  # noqa: PLC0415 - the same
    from headrace.runtime.topic_retry import taken_over  # noqa: PLC0415 - the same

    lane = LaneId(definition.name, over.lane)
    sinks = [KafkaAddress.of(sink, frozenset()).topic for sink in over.sink]
    return taken_over(definition, home, cluster, lane, sinks, say=aside.print, progress=progress)


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


def _journal(home: Home, use_case: str | None, lane: int = 0) -> Path:
    known = home.use_cases()
    named = known[0] if use_case is None and len(known) == 1 else use_case
    if named in known:
        lanes = home.lanes(named)
        if lane not in lanes:
            there = ", ".join(map(str, lanes))
            raise NotFound(f"{named} has no lane {lane} here; expected one of {there}")
        return home.journal(named, lane)
    if not known:
        raise NotFound(f"{home.folder} has no journal yet; headrace run makes one")
    raise NotFound(f"{home.folder} has the journals {', '.join(known)}: name one")


def _one(items: list[QuarantinedInput], seq: int) -> QuarantinedInput:
    for item in items:
        if item.seq == seq:
            return item
    raise NotFound(f"input {seq} is not in quarantine; headrace quarantine list shows what is")
