"""Notices of decisions that the journal holds."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import DataError, DefinitionError
from headrace.definitions.calls import shown
from headrace.events.schema import Role
from headrace.lifecycle.counterfactual import Counterfactual, CounterfactualSearch, Decided
from headrace.lifecycle.notice import Disclosure, Notice
from headrace.models.reasons import reason_text
from headrace.policy.adverse_action import REASONS_MOST
from headrace.policy.conditions import Operand, Source, operands
from headrace.runtime.audit import explain
from headrace.runtime.definitions import Definitions
from headrace.runtime.replaying import recorded_definitions

if TYPE_CHECKING:
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader
    from headrace.pipeline.lane import Definition
    from headrace.pipeline.use_case import UseCase
    from headrace.policy.adverse_action import AdverseAction
    from headrace.runtime.audit import Explanation, Reason
    from headrace.runtime.home import Home
    from headrace.runtime.journals import Place


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A decision with all that it was made of."""

    explanation: Explanation
    header: JournalHeader
    batch: JournalBatch
    at: int
    definition: Definition


def notice_of(case: UseCase, home: Home, place: Place, applicant: str | None = None) -> Notice:
    """The notice of a decision that was adverse.

    Args:
        case: What declares the creditor and what a person can change.
        home: Where its models and definitions are.
        place: Of the decision.
        applicant: Name and address; how the record knows the person when None.

    Raises:
        DefinitionError: The use case says nothing of adverse action.
        NotFound: The journal does not reach there, or the home no longer holds what decided.
        DataError: The decision was not adverse, or is another use case's.
    """
    adverse = case.adverse_action
    if adverse is None:
        raise DefinitionError(
            f"{case.name} says nothing of adverse action",
            at=case.at,
            fix="give it adverse_action=hr.AdverseAction(creditor=..., agency=...)",
        )
    if place.use_case != case.name:
        raise DataError(
            f"the decision is of {place.use_case}, and {shown(case)} was named; name its use case"
        )
    stored = place.found().stored
    recorded = _Recorded(
        explain(place, Definitions(home.definitions)),
        stored.header,
        stored.batch(),
        int(np.searchsorted(stored.batch().decisions.seq, place.seq)),
        recorded_definitions(home, place.use_case)(stored.header),
    )
    explanation = recorded.explanation
    if explanation.outcome not in adverse.outcomes:
        raise DataError(
            f"{explanation.id} came to {explanation.outcome!r}, which is not adverse"
            f" ({', '.join(adverse.outcomes)}): there is nothing to give notice of"
        )
    found = counterfactual(adverse, recorded)
    factors = tuple(_reason(reason) for reason in explanation.reasons[:REASONS_MOST])
    return Notice(
        decision=explanation.id,
        applicant=applicant or _known_as(recorded),
        creditor=adverse.creditor,
        agency=adverse.agency,
        date=_day(recorded),
        action=adverse.outcomes[explanation.outcome],
        reasons=_required(adverse, recorded) or factors,
        factors=factors,
        score=_disclosed(adverse, explanation),
        bureau=adverse.bureau,
        counterfactual="" if found is None else found.text(adverse.granted),
    )


def counterfactual(adverse: AdverseAction, recorded: _Recorded) -> Counterfactual | None:
    """What would have led to an outcome that grants what was asked for."""
    if recorded.definition.policy is None or not adverse.changes:
        return None
    batch, header = recorded.batch, recorded.header
    codes = batch.categories
    dictionary = [codes.get(code, "") for code in range(max(codes, default=-1) + 1)]
    seq = int(batch.decisions.seq[recorded.at])
    row = int(batch.inputs.row[seq - batch.first_seq])
    decided = Decided(
        np.ascontiguousarray(batch.decisions.features[:, recorded.at]),
        dictionary,
        batch.events[header.on].take(np.array([row])),
    )
    search = CounterfactualSearch(recorded.definition, adverse.changes)
    return search.find(decided, adverse.granted)


def _known_as(recorded: _Recorded) -> str:
    """The person as the record knows them: by the surrogate of the subject, else by the event."""
    schema = recorded.header.schema(recorded.header.on)
    subject = next((field for field in schema.fields if field.subject), None)
    named = subject or schema.having(Role.ID)
    return f"{named.name} {recorded.explanation.event[named.name]}" if named else ""


def _day(recorded: _Recorded) -> str:
    seq = int(recorded.batch.decisions.seq[recorded.at])
    known = int(recorded.batch.inputs.received_ns[seq - recorded.batch.first_seq])
    return dt.datetime.fromtimestamp(known // 10**9, tz=dt.UTC).date().isoformat()


def _required(adverse: AdverseAction, recorded: _Recorded) -> tuple[str, ...]:
    """What the rule that decided requires, where it did not ask for the score."""
    explanation, compiled = recorded.explanation, recorded.definition.policy
    rules = compiled.policy.rules if compiled else ()
    rule = next((rule for rule in rules if rule.name == explanation.rule), None)
    if rule is None or Operand(Source.SCORE, "score") in operands(rule.condition):
        return ()
    required = adverse.requirements.get(rule.name)
    if required is None:
        return (_sentence(explanation.rules[rule.name]),)
    asked = [
        operand.name for operand in operands(rule.condition) if operand.source is Source.FEATURE
    ]
    texts = {feature.name: feature.text for feature in recorded.definition.plan.features}
    values = [
        reason_text(name, explanation.features[name], texts.get(name) or None)
        for name in asked
        if explanation.features.get(name) is not None
    ]
    return (_sentence(f"what is required: {required}" + "".join(f"; {text}" for text in values)),)


def _disclosed(adverse: AdverseAction, explanation: Explanation) -> Disclosure | None:
    if adverse.scale is None or explanation.score is None:
        return None
    scale = adverse.scale
    return Disclosure(scale.of(explanation.score), scale.least, scale.most)


def _reason(reason: Reason) -> str:
    """A reason as a sentence; of what is missing, that it is."""
    if reason.value is None:
        # words that end with the value say what it is of; others say it around the value
        said, colon, value = reason.text.rpartition(": ")
        named = said if colon and value == "missing" else reason.feature.replace("_", " ")
        return _sentence(f"{named}: not known to us")
    return _sentence(reason.text)


def _sentence(text: str) -> str:
    """A reason with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
