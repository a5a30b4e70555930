"""After the fact: why a decision was made, that it was made so, and that it comes out again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.core.columns import Kind, category_text
from headrace.core.errors import DataError, NotFound
from headrace.events.arrow_forms import to_arrow
from headrace.events.schema import Role
from headrace.journal.checkpoint import read_checkpoints
from headrace.journal.reader import stored_batches
from headrace.models.reasons import reason_text
from headrace.pipeline.explained import explained_class
from headrace.policy.conditions import Operand, Source
from headrace.policy.explain import because
from headrace.policy.wanted_high import wanted_high
from headrace.runtime.local_lane import lane_name
from headrace.runtime.vectors import sequence_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from headrace.core.columns import Batch
    from headrace.journal.batch import JournalBatch
    from headrace.journal.checkpoint import Checkpoint
    from headrace.journal.header import JournalHeader
    from headrace.policy.policy import Policy
    from headrace.runtime.definitions import Definitions
    from headrace.runtime.home import Home
    from headrace.runtime.journals import Place
    from headrace.runtime.vectors import Vector


def newest(witness: Path, lane: str) -> Checkpoint:
    """The newest checkpoint of a witness file that binds the journal of a lane.

    Raises:
        NotFound: None of them does.
    """
    for checkpoint in reversed(read_checkpoints(witness)):
        if checkpoint.lane(lane) is not None:
            return checkpoint
    raise NotFound(f"no checkpoint in {witness} binds the journal of lane {lane}")


@dataclass(frozen=True, slots=True)
class LaneJournalFolder:
    """The journal of one lane in a home.

    Attributes:
        name: Of the lane.
        shown: How people call it: by the use case alone, where that has one lane.
        folder: Where it is.
        use_case: Whose it is.
    """

    name: str
    shown: str
    folder: Path
    use_case: str


def journals_of(home: Home, use_case: str | None) -> list[LaneJournalFolder]:
    """The journals of a use case's lanes, or all that a home has.

    Raises:
        NotFound: There is none.
    """
    cases = [use_case] if use_case else home.use_cases()
    if not cases:
        raise NotFound(f"{home.folder} has no journal yet; headrace run makes one")
    found: list[LaneJournalFolder] = []
    for case in cases:
        lanes = home.lanes(case)
        if not lanes:
            raise NotFound(f"no journal of {case!r} in {home.folder}")
        for lane in lanes:
            name = lane_name(case, lane)
            shown = case if lanes == [0] else name
            found.append(LaneJournalFolder(name, shown, home.journal(case, lane), case))
    return found


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a score: a feature, its value, and what it added to the margin."""

    feature: str
    value: object
    contribution: float
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, taken apart.

    Attributes:
        id: Of the decision.
        event: The event's fields as recorded: personal data are surrogates.
        outcome: What was decided.
        score: What the policy read; None without a model.
        rule: The rule that decided; "" when none matched.
        rules: Every rule that matched, with why, in words.
        reasons: Of the score, the strongest first.
        explains: The class whose score they are of; "" where there is one score alone.
        features: Every feature value; None where missing.
        versions: Digests of what was in force.
        backfilled: Whether the event came back from quarantine.
        sequence: The vectors that the model read as a sequence, this event's last; none where the
            use case has no sequence.
        followed: Events of other streams that refer to the event, such as labels and reviews, in
            known order: each with its stream's name, and its fields.
    """

    id: str
    event: dict[str, object]
    outcome: str
    score: float | None
    rule: str
    rules: dict[str, str]
    reasons: tuple[Reason, ...]
    features: dict[str, object]
    versions: dict[str, str]
    backfilled: bool
    sequence: tuple[Vector, ...] = ()
    explains: str = ""
    followed: tuple[tuple[str, dict[str, object]], ...] = ()


def explain(place: Place, definitions: Definitions, *, later: bool = False) -> Explanation:
    """Why a decision was made, from its record and the definitions that were in force.

    Args:
        place: Of the decision.
        definitions: That the home has.
        later: Whether to look for what other streams said of the event later, by reading the
            journal from there on.

    Raises:
        NotFound: The journal does not reach there.
        DataError: The input there was not decided: it was a duplicate, quarantined, or of
            another stream; the message says which.
    """
    stored = place.found().stored
    header, batch = stored.header, stored.batch()
    at = int(np.searchsorted(batch.decisions.seq, place.seq))
    if at == len(batch.decisions) or batch.decisions.seq[at] != place.seq:
        raise DataError(_undecided(batch, header, place))
    plan = definitions.plan(header.definition)
    policy = definitions.policy(header.policy)
    decisions = batch.decisions
    kinds = {feature.name: feature for feature in plan.features}
    event = _event(batch, header, place.seq)
    features = {
        name: feature_value(
            kinds[name].kind if name in kinds else Kind.FLOAT,
            header.category(name),
            float(decisions.features[number, at]),
            batch.categories,
        )
        for number, name in enumerate(header.features)
    }
    score = float(decisions.score[at])
    names = [name for bit, name in enumerate(header.rules) if int(decisions.rules[at]) >> bit & 1]
    reasons = tuple(
        Reason(
            header.features[number],
            features[header.features[number]],
            float(decisions.reason_contribution[k, at]),
            reason_text(
                header.features[number],
                features[header.features[number]],
                kinds[header.features[number]].text or None,
            ),
        )
        for k, number in enumerate(decisions.reason_feature[:, at].tolist())
        if number >= 0
    )
    first = int(decisions.rule[at])
    return Explanation(
        id=f"{header.lane}/{place.seq}",
        event=event,
        outcome=header.outcomes[int(decisions.outcome[at])],
        score=None if np.isnan(score) else score,
        rule=header.rules[first] if first >= 0 else "",
        rules={name: _rule_text(policy, name, features, event, score) for name in names},
        reasons=reasons,
        features=features,
        versions={
            "definition": header.definition,
            "model": header.model,
            "policy": header.policy,
            "engine": header.engine,
        },
        backfilled=bool(decisions.marks[at] & 1),
        sequence=sequence_of(place, plan),
        explains=_explains(policy, first, header.features[len(plan.features) :]),
        followed=_followed(place, header, event) if later else (),
    )


def _explains(policy: Policy | None, rule: int, columns: Sequence[str]) -> str:
    """The class that a decision rests on; `columns` are those of the classes' scores."""
    if not columns:
        return ""
    classes = [name.removeprefix("score_") for name in columns]
    wanted = wanted_high(policy.rules[rule].condition) if policy and rule >= 0 else ()
    return classes[explained_class(wanted, classes)]


def _followed(
    place: Place, header: JournalHeader, event: dict[str, object]
) -> tuple[tuple[str, dict[str, object]], ...]:
    """What later inputs of the lane say of an event, by reference to its id."""
    on = header.schema(header.on)
    id_field = on.having(Role.ID)
    referring = {
        stream.name: field.name
        for stream in header.streams
        for field in stream.schema.fields
        if field.role is Role.REF and field.refers_to == on.name
    }
    if id_field is None or not referring:
        return ()
    wanted = event[id_field.name]
    found: list[tuple[str, dict[str, object]]] = []
    for stored in stored_batches(place.folder, place.seq):
        batch = stored.batch()
        for name, reference in referring.items():
            rows = batch.events.get(name)
            if rows is None:
                continue
            found += [
                (name, _row(stored.header, name, rows, row))
                for row, referred in enumerate(rows.text(reference).strings())
                if referred == wanted
            ]
    return tuple(found)


def _undecided(batch: JournalBatch, header: JournalHeader, place: Place) -> str:
    index = place.seq - batch.first_seq
    reason = int(batch.inputs.reason[index])
    original = int(batch.inputs.original_seq[index])
    name = f"{header.lane}/{place.seq}"
    if reason:
        return (
            f"{name} was not decided: it was quarantined ({header.reasons[reason]});"
            f" see headrace quarantine show {place.seq}"
        )
    if original >= 0:
        first = f"{header.lane}/{original}"
        return f"{name} is a duplicate: its decision is {first}"
    return f"{name} was not decided: it is an event of another stream, or a control record"


def _event(batch: JournalBatch, header: JournalHeader, seq: int) -> dict[str, object]:
    row = int(batch.inputs.row[seq - batch.first_seq])
    return _row(header, header.on, batch.events[header.on], row)


def _row(header: JournalHeader, name: str, rows: Batch, row: int) -> dict[str, object]:
    """One row of a stream, with times as text."""
    one = to_arrow(header.schema(name), rows.take(np.array([row])))
    return {
        name: _plain(column) for name, column in zip(one.schema.names, one.columns, strict=True)
    }


def _plain(column: Any) -> object:
    """The one value of a column; a time as text, which loses none of its nanoseconds."""
    if pa.types.is_timestamp(column.type):
        column = pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ")
    value: object = column[0].as_py()
    return value


def feature_value(
    kind: Kind, category: Kind | None, value: float, texts: Mapping[int, str]
) -> object:
    """A feature's value as people read it; None where missing."""
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return None
    if category is not None:
        return category_text(category, int(value), texts)
    if kind is Kind.BOOL:
        return bool(value)
    return int(value) if kind is Kind.INT else value


def _rule_text(
    policy: Policy | None,
    name: str,
    features: dict[str, object],
    event: dict[str, object],
    score: float,
) -> str:
    if policy is None:
        return ""
    seen: dict[Operand, Any] = {Operand(Source.SCORE, "score"): score}
    seen |= {Operand(Source.FEATURE, key): value for key, value in features.items()}
    seen |= {Operand(Source.FIELD, key): value for key, value in event.items()}
    return because(policy.rule(name).condition, seen)
