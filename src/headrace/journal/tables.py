"""The journal as tables for people and SQL: `decisions`, `inputs`, `quarantine`, `controls`.

Values are given as what they mean: times as timestamps, money of a fixed currency and decimals as
exact decimals (money whose currency is a field stays in minor units), codes as their letters or
names. No column hides another: a field of the event that has the name of one of the journal's own
columns is called `event_NAME`, a feature that has the name of either `feature_NAME`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from headrace.core.columns import category_text
from headrace.events.arrow_forms import to_arrow
from headrace.journal.batch import InputKind
from headrace.journal.reader import stored_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from headrace.core.columns import Batch, Bytes, Floats, Int64s, Kind
    from headrace.journal.batch import Decisions, JournalBatch
    from headrace.journal.header import JournalHeader

#: The columns of `decisions` beside the fields of the event and the features.
_OWN = (
    "decision_id",
    "seq",
    "received",
    "margin",
    "score",
    "outcome",
    "rule",
    "rules",
    "reasons",
    "arm",
    "backfilled",
    "model",
    "policy",
)
_TIMESTAMP = pa.timestamp("ns", tz="UTC")
_REASONS = pa.list_(pa.struct([("feature", pa.string()), ("contribution", pa.float64())]))


def tables(folder: Path, from_seq: int = 0) -> dict[str, Any]:
    """The vouched part of a journal as Arrow tables, from input `from_seq` on.

    Returns:
        `decisions`: one row per decision: `decision_id` (lane/sequence number), `seq`, `received`,
        the fields of the event, the features, `margin`, `score`, `outcome`, `rule` (the first that
        matched), `rules` (all), `reasons` (feature, contribution), `arm`, `backfilled`, `model`,
        `policy`.
        `inputs`: one row per input, whatever became of it.
        `quarantine`: one row per quarantined input.
        `controls`: one row per control record, an erasure, say: `record` is its JSON.

    Raises:
        NotFound: There is no journal.
        JournalError: It cannot be read.
    """
    parts: dict[str, list[Any]] = {name: [] for name in _MAKERS}
    for stored in stored_batches(folder, from_seq):
        batch, header = stored.batch(), stored.header
        for name, make in _MAKERS.items():
            table = make(batch, header)
            parts[name].append(table.filter(pa.compute.greater_equal(table["seq"], from_seq)))
    return {
        name: pa.concat_tables(found, promote_options="default")
        if found
        else pa.table({"seq": pa.array([], pa.int64())})
        for name, found in parts.items()
    }


def decision_table(batch: JournalBatch, header: JournalHeader) -> Any:
    """The decisions of a batch, one row each, as `tables` describes them."""
    decisions = batch.decisions
    rows = decisions.seq - batch.first_seq
    columns: dict[str, Any] = {
        "decision_id": pa.array([f"{header.lane}/{seq}" for seq in decisions.seq], pa.string()),
        "seq": pa.array(decisions.seq),
        "received": _times(batch.inputs.received_ns[rows]),
    }
    events = batch.events.get(header.on)
    names = header.schema(header.on).names
    shown = _apart("event_", names, _OWN)
    if events is not None:
        found = _event_columns(events, header, batch.inputs.row[rows].astype(np.int64))
        columns |= {shown[name]: column for name, column in found.items()}
    taken = {*_OWN, *names, *shown.values()}
    called = _apart("feature_", header.features, taken)
    for name, values in zip(header.features, decisions.features, strict=True):
        column = _feature(values, header.category(name), batch.categories)
        columns[called[name]] = column
    same = len(decisions)
    columns |= {
        "margin": pa.array(decisions.margin, from_pandas=True),
        "score": pa.array(decisions.score, from_pandas=True),
        "outcome": _named(header.outcomes, decisions.outcome),
        "rule": _named((*header.rules, "otherwise"), _or_last(decisions.rule, len(header.rules))),
        "rules": _rules(decisions, header),
        "reasons": _reasons(decisions, header),
        "arm": pa.array(decisions.arm),
        "backfilled": pa.array((decisions.marks & 1).astype(bool)),
        "model": pa.repeat(header.model, same),
        "policy": pa.repeat(header.policy, same),
    }
    return pa.table(columns)


def _feature(values: Floats, category: Kind | None, texts: Mapping[int, str]) -> Any:
    """A feature's values; of a category, what its codes stand for."""
    if category is None:
        return pa.array(values, from_pandas=True)
    there = ~np.isnan(values)
    codes, index = np.unique(values[there].astype(np.int64), return_inverse=True)
    names = [category_text(category, code, texts) for code in codes.tolist()]
    places = np.zeros(len(values), dtype=np.int64)
    places[there] = index
    return pa.array(names, pa.string()).take(pa.array(places, mask=~there))


def _apart(prefix: str, names: Sequence[str], taken: Collection[str]) -> dict[str, str]:
    """What each name is called beside columns that are `taken`, so that all differ."""
    # SQL takes no notice of capital letters
    refused = {name.lower() for name in taken}
    every = {name.lower() for name in names}
    called = {}
    for name in names:
        made = name
        while made.lower() in refused or (made != name and made.lower() in every):
            made = prefix + made
        called[name] = made
    return called


def _inputs(batch: JournalBatch, header: JournalHeader) -> Any:
    inputs = batch.inputs
    original = inputs.original_seq
    control = pa.array(inputs.kind == InputKind.CONTROL)
    sources = _named(header.sources, inputs.source)
    return pa.table(
        {
            "seq": pa.array(np.arange(batch.first_seq, batch.next_seq)),
            "stream": _streams(inputs.stream, header),
            "kind": _named([kind.name.lower() for kind in InputKind], inputs.kind),
            "source": pa.compute.if_else(control, None, sources),
            "position": pa.compute.if_else(control, None, pa.array(inputs.position)),
            "received": _times(inputs.received_ns),
            "reason": _named(header.reasons, inputs.reason),
            "original_seq": pa.array(original, mask=original < 0),
            "read": _times(inputs.read_ns),
        }
    )


def _quarantine(batch: JournalBatch, header: JournalHeader) -> Any:
    inputs, told = batch.inputs, batch.quarantined
    rows = np.flatnonzero(inputs.kind == InputKind.QUARANTINED)
    seqs = rows + batch.first_seq
    place = np.searchsorted(told.seq, seqs)
    found = np.isin(seqs, told.seq)
    said = pa.array(np.where(found, place, 0), mask=~found)

    def text(name: str) -> Any:
        return pa.array(getattr(told, name).strings(), pa.string()).take(said)

    return pa.table(
        {
            "seq": pa.array(seqs),
            "stream": _streams(inputs.stream[rows], header),
            "source": _named(header.sources, inputs.source[rows]),
            "position": pa.array(inputs.position[rows]),
            "received": _times(inputs.received_ns[rows]),
            "reason": _named(header.reasons, inputs.reason[rows]),
            **{name: text(name) for name in ("field", "value", "expected", "vault")},
            "length": pa.array(told.length).take(said),
        }
    )


def _controls(batch: JournalBatch, _header: JournalHeader) -> Any:
    seqs = np.array([seq for seq, _ in batch.controls], dtype=np.int64)
    return pa.table(
        {
            "seq": pa.array(seqs),
            "received": _times(batch.inputs.received_ns[seqs - batch.first_seq]),
            "record": pa.array([record.decode() for _, record in batch.controls], pa.string()),
        }
    )


_MAKERS: dict[str, Callable[[JournalBatch, JournalHeader], Any]] = {
    "decisions": decision_table,
    "inputs": _inputs,
    "quarantine": _quarantine,
    "controls": _controls,
}


def _event_columns(events: Batch, header: JournalHeader, rows: Int64s) -> dict[str, Any]:
    """The fields of the decided events, as what they mean."""
    taken = to_arrow(header.schema(header.on), events.take(rows))
    return dict(zip(taken.schema.names, taken.columns, strict=True))


def _times(values: Int64s) -> Any:
    return pa.array(values).cast(_TIMESTAMP)


def _named(names: Sequence[str], index: np.ndarray[Any, Any]) -> Any:
    """Names by index; a number that has no name is given as itself."""
    most = int(index.max()) + 1 if len(index) else 0
    every = [*names, *(str(number) for number in range(len(names), most))]
    return pa.array(every, pa.string()).take(pa.array(index.astype(np.int64)))


def _streams(ranks: Bytes, header: JournalHeader) -> Any:
    names = [
        *header.stream_names,
        *(str(rank) for rank in range(len(header.streams), 255)),
        "control",
    ]
    return _named(names, ranks)


def _or_last(index: np.ndarray[Any, Any], last: int) -> np.ndarray[Any, Any]:
    return np.where(index < 0, last, index)


def _rules(decisions: Decisions, header: JournalHeader) -> Any:
    """The names of all rules that matched, for each decision."""
    masks, index = np.unique(decisions.rules, return_inverse=True)
    lists = [
        [name for bit, name in enumerate(header.rules) if int(mask) >> bit & 1] for mask in masks
    ]
    return pa.array(lists, pa.list_(pa.string())).take(pa.array(index))


def _reasons(decisions: Decisions, header: JournalHeader) -> Any:
    """The reasons of each decision, the strongest first."""
    told = decisions.reason_feature.T >= 0
    offsets = np.zeros(len(decisions) + 1, dtype=np.int32)
    np.cumsum(told.sum(axis=1), out=offsets[1:])
    pairs = pa.StructArray.from_arrays(
        [
            _named(header.features, decisions.reason_feature.T[told]),
            pa.array(decisions.reason_contribution.T[told]),
        ],
        fields=list(_REASONS.value_type),
    )
    return pa.ListArray.from_arrays(pa.array(offsets), pairs, type=_REASONS)
