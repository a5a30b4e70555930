"""Quarantine: what was not accepted, as the journal has it, and its way back in.

What is retried enters as a backfill: a new input, marked, that later events see as far as state
still reaches. The record of its first coming stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headrace.adapters.payload_forms import FRAMED, payload_codec
from headrace.core.columns import concatenated
from headrace.core.errors import DataError, NotFound
from headrace.journal.batch import InputKind
from headrace.journal.reader import stored_batches
from headrace.pipeline.inputs import Inputs
from headrace.runtime.intake import Assembly, Part
from headrace.runtime.local_lane import admission_name, now_ns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headrace.adapters.payloads import PayloadCodec
    from headrace.adapters.schema_registry import SchemaRegistry
    from headrace.core.columns import Batch
    from headrace.events.schema import Schema
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader
    from headrace.runtime.home import Home
    from headrace.runtime.local_lane import LocalLane
    from headrace.security.vault import Vault

#: The source that retried inputs come from; their position is the input that they retry.
SOURCE = "quarantine"


@dataclass(frozen=True, slots=True)
class QuarantinedInput:
    """One input that was not accepted.

    Attributes:
        seq: Its sequence number.
        stream: Which stream it came for.
        source: Where it came from.
        position: Its ordinal there.
        received_ns: When.
        reason: Why it was not accepted.
        field: The field that was wrong; "" for the event as a whole.
        value: What stood there; personal data are not shown.
        expected: What was expected.
        reference: Name of its sealed bytes in the vault; "" where its fields could be read.
        length: Of the bytes.
        retried_as: The input that it came back as and was accepted; None if it did not.
        form: Of its bytes, as `JournalHeader.forms` says it; "json" unless told.
    """

    seq: int
    stream: str
    source: str
    position: int
    received_ns: int
    reason: str
    field: str
    value: str
    expected: str
    reference: str
    length: int
    retried_as: int | None
    form: str


def quarantined(folder: Path) -> list[QuarantinedInput]:
    """Every input of a journal that was quarantined, in known order."""
    found: list[QuarantinedInput] = []
    forms: dict[int, str] = {}
    returned: dict[int, int] = {}
    for stored in stored_batches(folder):
        batch, header = stored.batch(), stored.header
        for item in quarantined_in(batch, header):
            # what is refused once more has the form that it had at first
            form = forms.get(item.position, item.form) if item.source == SOURCE else item.form
            forms[item.seq] = form
            found.append(replace(item, form=form))
        back = batch.inputs.kind == InputKind.BACKFILL
        for index in np.flatnonzero(back).tolist():
            returned[int(batch.inputs.position[index])] = batch.first_seq + index
    return [replace(item, retried_as=returned.get(item.seq)) for item in found]


def quarantined_in(batch: JournalBatch, header: JournalHeader) -> list[QuarantinedInput]:
    """Every input of a batch that was quarantined; of none is it known whether it came back."""
    inputs, told = batch.inputs, batch.quarantined
    texts = [column.strings() for column in (told.field, told.value, told.expected, told.vault)]
    place = {int(seq): at for at, seq in enumerate(told.seq)}
    found = []
    for index in np.flatnonzero(inputs.kind == InputKind.QUARANTINED).tolist():
        seq = batch.first_seq + index
        at = place.get(seq)
        field, value, expected, reference = (
            ("" if at is None else column[at] or "") for column in texts
        )
        found.append(
            QuarantinedInput(
                seq=seq,
                stream=header.stream_names[int(inputs.stream[index])],
                source=header.sources[int(inputs.source[index])],
                position=int(inputs.position[index]),
                received_ns=int(inputs.received_ns[index]),
                reason=header.reasons[int(inputs.reason[index])],
                field=field,
                value=value,
                expected=expected,
                reference=reference,
                length=0 if at is None else int(told.length[at]),
                retried_as=None,
                form=header.forms.get(header.sources[int(inputs.source[index])], "json"),
            )
        )
    return found


def raw_bytes(vault: Vault, item: QuarantinedInput) -> bytes:
    """The sealed bytes of an input that could not be read.

    Args:
        vault: Of its lane.
        item: Which input.

    Raises:
        NotFound: Nothing was sealed, or its retention has passed.
    """
    if not item.reference:
        raise NotFound(f"input {item.seq} could be read: nothing of it was sealed")
    return vault.unseal(item.reference)


def judging_name(home: Home, use_case: str) -> str:
    """The journal that has what a use case did not accept: its own, or that of its admission.

    Where a use case is worked on in stages, its own journal has these inputs too, under other
    numbers.

    Args:
        home: That has journals of it.
        use_case: Its name.

    Raises:
        NotFound: It is worked on in stages, and the home lacks the journal of admission.
    """
    name = admission_name(use_case)
    if home.lanes(name):
        return name
    for lane in home.lanes(use_case):
        first = next(stored_batches(home.journal(use_case, lane)), None)
        if first is not None and any(f".{name}.journal/" in it for it in first.header.sources):
            raise NotFound(
                f"{use_case} is worked on in stages, and {home.folder} lacks the journal of"
                f" admission, {name}: name the cluster that it is in with --from kafka://HOST:PORT"
            )
    return use_case


def retry(
    local: LocalLane,
    items: Sequence[QuarantinedInput],
    registry: SchemaRegistry | None = None,
) -> list[JournalBatch]:
    """Put quarantined inputs through the lane once more, as backfills.

    Args:
        local: An open lane; one of its sources is `SOURCE`.
        items: Not yet retried, in known order.
        registry: Of those in a registry's wire format.

    Raises:
        DataError: When one of them was accepted before, or is in the wire format of a registry and
            none was given.
        Unavailable: The registry does not answer; nothing was retried.
    """
    again = [item for item in items if item.retried_as is not None]
    if again:
        raise DataError(f"input {again[0].seq} was accepted before, as input {again[0].retried_as}")
    typed = [item for item in items if not item.reference]
    sealed = [item for item in items if item.reference]
    # read before anything is decided: what stands in the way of it stops all of them
    read = [_unsealed(local, sealed, registry)] if sealed else []
    every = [_typed(local, typed), *read] if typed else read
    made = [local.decide(inputs) for inputs in every]
    local.commit()
    return made


def _unsealed(
    local: LocalLane, items: Sequence[QuarantinedInput], registry: SchemaRegistry | None
) -> Inputs:
    """Inputs of bytes that the vault kept, read under the schema of today."""
    assembly = Assembly(local.definition.plan, local.vault)
    number = local.source_number(SOURCE)
    parts = []
    for stream, form in dict.fromkeys((item.stream, item.form) for item in items):
        chosen = [i for i, item in enumerate(items) if (item.stream, item.form) == (stream, form)]
        places = np.array(chosen)
        lines = [local.vault.unseal(items[i].reference) for i in chosen]
        parsed = _codec(form, assembly.schemas[stream], registry).parse(lines)
        positions = np.array([items[i].seq for i in places], dtype=np.int64)
        parts.append(
            Part(number, assembly.rank(stream), places, positions, parsed, lines.__getitem__)
        )
    received = np.full(len(items), now_ns(), dtype=np.int64)
    return assembly.inputs(parts, received, now_ns(), {}, retried=True)


def _codec(form: str, schema: Schema, registry: SchemaRegistry | None) -> PayloadCodec:
    """What reads bytes that were sealed in a form."""
    if form != FRAMED:
        return payload_codec(form, schema)
    if registry is None:
        raise DataError(
            "these events name schemas of a registry: say which with --registry http://HOST:PORT,"
            " or with schema.registry.url in the file of --kafka-config"
        )
    return payload_codec("avro", schema, registry=registry)


def _typed(local: LocalLane, items: Sequence[QuarantinedInput]) -> Inputs:
    """Inputs of events whose fields the journal holds; their personal data are surrogates."""
    names = local.header.stream_names
    wanted = np.array([item.seq for item in items], dtype=np.int64)
    streams = np.array([names.index(item.stream) for item in items], dtype=np.uint8)
    found: dict[str, list[Batch]] = {}
    for stored in stored_batches(local.folder, items[0].seq):
        first, last = np.searchsorted(wanted, [stored.link.first_seq, stored.link.next_seq])
        if first < last:
            batch = stored.batch()
            rows = batch.inputs.row[wanted[first:last] - stored.link.first_seq]
            of = streams[first:last]
            for rank in np.unique(of).tolist():
                events = batch.events[names[rank]].take(rows[of == rank])
                found.setdefault(names[rank], []).append(events)
        if last == len(wanted):
            break
    row = np.zeros(len(items), dtype=np.int32)
    for rank in np.unique(streams).tolist():
        mine = np.flatnonzero(streams == rank)
        row[mine] = np.arange(len(mine))
    now = now_ns()
    return Inputs(
        stream=streams,
        row=row,
        source=np.full(len(items), local.source_number(SOURCE), dtype=np.uint16),
        position=wanted,
        received_ns=np.full(len(items), now, dtype=np.int64),
        read_ns=np.full(len(items), now, dtype=np.int64),
        batches={name: concatenated(rows) for name, rows in found.items()},
        retried=True,
    )
