"""A policy: ordered rules over a decision's score, features and event, and what they lead to.

The first rule that matches decides; every rule that matches is recorded. A policy is data: it has
canonical bytes and a digest, it can be read back from them, printed as a truth table and compared
with another.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from headrace.core.errors import DefinitionError, SourceLine
from headrace.definitions.calls import checked, checked_methods
from headrace.definitions.source_lines import user_line
from headrace.policy import reasoning
from headrace.policy.conditions import (
    Comparison,
    Condition,
    Constant,
    Relation,
    Source,
    atoms,
    from_plain,
    to_plain,
)
from headrace.policy.translate import condition_of

if TYPE_CHECKING:
    from collections.abc import Collection

#: One bit of a 64-bit mask for each rule.
RULES_MAX = 64


@dataclass(frozen=True, slots=True, order=True)
class Outcome:
    """What is done about an event.

    Attributes:
        severity: How hard it bears on the customer, 0 to 100; outcomes are numbered by it.
        name: As it stands in a decision.
    """

    severity: int
    name: str


APPROVE = Outcome(0, "approve")
REVIEW = Outcome(50, "review")
BLOCK = Outcome(100, "block")
_STANDARD = {outcome.name: outcome for outcome in (APPROVE, REVIEW, BLOCK)}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a name, a condition, and the outcome where it is the first that matches."""

    outcome: Outcome
    name: str
    condition: Condition
    at: SourceLine | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.outcome.name} {self.name}: {self.condition}"


#: Makes a rule of one outcome from a name and a condition.
RuleMaker: TypeAlias = Callable[[str, object], Rule]


def _rule(outcome: Outcome, name: str, condition: object, at: SourceLine | None) -> Rule:
    if not isinstance(name, str) or not name.isidentifier():
        raise DefinitionError(
            f"{name!r} cannot name a rule", at=at, fix="use letters, digits and underscores"
        )
    try:
        return Rule(outcome, name, condition_of(condition), at)
    except DefinitionError as error:
        raise DefinitionError(
            f"rule {name}: {error.message}", at=error.at or at, fix=error.fix
        ) from error


@checked
def block(name: str, condition: object) -> Rule:
    """A rule that refuses the event.

    >>> from headrace.policy.conditions import score
    >>> str(block("score_very_high", score >= 0.95))
    'block score_very_high: score >= 0.95'
    """
    return _rule(BLOCK, name, condition, user_line())


@checked
def review(name: str, condition: object) -> Rule:
    """A rule that sends the event to a person."""
    return _rule(REVIEW, name, condition, user_line())


@checked
def approve(name: str | None = None, condition: object = None) -> Any:
    """The outcome of letting the event through; with a name and a condition, a rule of it."""
    if name is None:
        return APPROVE
    return _rule(APPROVE, name, condition, user_line())


@checked
def outcome(name: str, *, severity: int | None = None) -> RuleMaker:
    """An outcome of your own, as a maker of rules.

    Args:
        name: A new name, or a standard one: approve, review, block.
        severity: From 0 (approve) by 50 (review) to 100 (block); 40 when it is not said.

    Returns:
        A function of a rule's name and condition; its `outcome` is the outcome itself, for
        `otherwise=`.

    Raises:
        DefinitionError: For a name that looks like a misspelt standard one, or a severity that
            is not its own.

    >>> from headrace.policy.conditions import score
    >>> str(outcome("step_up")("unsure", score >= 0.4))
    'step_up unsure: score >= 0.4'
    """
    at = user_line()
    made = _outcome(name, severity, at)

    def rule(name: str, condition: object) -> Rule:
        return _rule(made, name, condition, user_line())

    rule.outcome = made  # type: ignore[attr-defined]  # the maker carries its outcome
    return rule


def _outcome(name: str, severity: int | None, at: SourceLine | None) -> Outcome:
    if not isinstance(name, str) or not name.isidentifier():
        raise DefinitionError(
            f"{name!r} cannot name an outcome", at=at, fix="use letters, digits and underscores"
        )
    standard = _STANDARD.get(name)
    if standard is not None:
        if severity not in (None, standard.severity):
            raise DefinitionError(
                f"{name} has severity {standard.severity}, not {severity}",
                at=at,
                fix="leave the severity out, or choose another name",
            )
        return standard
    close = difflib.get_close_matches(name, _STANDARD, n=1, cutoff=0.8)
    if close:
        raise DefinitionError(
            f"there is no outcome {name!r}", at=at, fix=f"did you mean {close[0]!r}?"
        )
    chosen = 40 if severity is None else severity
    if type(chosen) is not int or not 0 <= chosen <= 100:
        raise DefinitionError(
            f"severity {chosen!r} of outcome {name} is out of range",
            at=at,
            fix="choose from 0 (approve) to 100 (block)",
        )
    return Outcome(chosen, name)


@checked_methods
class Policy:
    """Ordered rules, and the outcome where none matches.

    Args:
        *rules: In order of precedence; at most 64.
        otherwise: The outcome where no rule matches. One of severity 0 takes the place of approval,
            as in `hr.outcome("hold", severity=0)`.

    Raises:
        DefinitionError: With the line of the rule and the fix, when names repeat, a rule can
            never match or never decide, a rule before the last matches everything, or a
            threshold lies outside the score's range. Only what is certain is refused: that a rule
            can't decide because one value is computed of another (a feature that repeats a field
            of an earlier rule) is not looked for.

    >>> from headrace.policy.conditions import feature, score
    >>> policy = Policy(
    ...     block("score_very_high", score >= 0.95),
    ...     review("burst", feature("card_count_5m") > 8),
    ...     otherwise=approve(),
    ... )
    >>> [outcome.name for outcome in policy.outcomes]
    ['approve', 'review', 'block']
    """

    __slots__ = ("at", "otherwise", "outcomes", "rules")

    def __init__(self, *rules: Rule, otherwise: Any) -> None:
        self.at = user_line()
        self.rules: tuple[Rule, ...] = rules
        self.otherwise: Outcome = _outcome_of(otherwise, self.at)
        # an outcome of severity 0 where no rule matches stands in the place of approval: a signal
        # that is held is not approved
        mildest = self.otherwise if self.otherwise.severity == 0 else APPROVE
        self.outcomes: tuple[Outcome, ...] = tuple(
            sorted(
                {
                    self.otherwise,
                    mildest,
                    REVIEW,
                    BLOCK,
                    *(rule.outcome for rule in _checked(rules, self.at)),
                }
            )
        )
        self._check_names()
        check_sense(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return self.rules == other.rules and self.otherwise == other.otherwise

    def __hash__(self) -> int:
        return hash((self.rules, self.otherwise))

    def __repr__(self) -> str:
        return f"<Policy of {len(self.rules)} rules, otherwise {self.otherwise.name}>"

    def rule(self, name: str) -> Rule:
        """The rule called `name`.

        Raises:
            DefinitionError: When there is none; it lists what there is.
        """
        for rule in self.rules:
            if rule.name == name:
                return rule
        raise unknown("rule", name, [rule.name for rule in self.rules], self.at)

    def canonical(self) -> bytes:
        """The policy as JSON with sorted keys; lines of source are left out."""
        return msgspec.json.encode(
            {
                "outcomes": [
                    {"name": outcome.name, "severity": outcome.severity}
                    for outcome in self.outcomes
                ],
                "otherwise": self.otherwise.name,
                "rules": [
                    {
                        "condition": to_plain(rule.condition),
                        "name": rule.name,
                        "outcome": rule.outcome.name,
                    }
                    for rule in self.rules
                ],
            },
            order="sorted",
        )

    def digest(self) -> str:
        """SHA-256 of `canonical()`, in hexadecimal: the name of this policy."""
        return hashlib.sha256(b"headrace/policy/v1\0" + self.canonical()).hexdigest()

    @staticmethod
    def from_canonical(data: bytes) -> Policy:
        """The policy whose canonical bytes these are.

        Raises:
            DefinitionError: When they are not those of a policy.
        """
        try:
            plain = msgspec.json.decode(data)
            outcomes = {
                item["name"]: _outcome(item["name"], item["severity"], None)
                for item in plain["outcomes"]
            }
            rules = [
                Rule(outcomes[item["outcome"]], item["name"], from_plain(item["condition"]))
                for item in plain["rules"]
            ]
            otherwise = outcomes[plain["otherwise"]]
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise DefinitionError(
                f"these are not the bytes of a policy: {error}", fix="write them with canonical()"
            ) from error
        return Policy(*rules, otherwise=otherwise)

    def _check_names(self) -> None:
        if len(self.rules) > RULES_MAX:
            raise DefinitionError(
                f"the policy has {len(self.rules)} rules, more than {RULES_MAX}",
                at=self.rules[RULES_MAX].at,
                fix="join rules of one outcome with |",
            )
        seen: dict[str, Rule] = {}
        severities: dict[str, Outcome] = {}
        for rule in self.rules:
            if rule.name in seen:
                raise DefinitionError(
                    f"two rules are called {rule.name}; the first is at {seen[rule.name].at}",
                    at=rule.at,
                    fix="give one of them another name",
                )
            seen[rule.name] = rule
            same = severities.setdefault(rule.outcome.name, rule.outcome)
            if same != rule.outcome:
                raise DefinitionError(
                    f"outcome {same.name} has severity {same.severity} and {rule.outcome.severity}",
                    at=rule.at,
                    fix="declare it once: step_up = hr.outcome('step_up', severity=40)",
                )


def _outcome_of(value: Any, at: SourceLine | None) -> Outcome:
    if isinstance(value, Rule):
        raise DefinitionError(
            "otherwise= has a rule", at=at, fix="give it an outcome: otherwise=hr.approve()"
        )
    found = getattr(value, "outcome", value)
    if isinstance(found, str):
        return _outcome(found, None, at)
    # `otherwise=hr.review` reads well, so the makers stand for their outcomes
    for maker, standard in ((block, BLOCK), (review, REVIEW), (approve, APPROVE)):
        if found is maker:
            return standard
    if isinstance(found, Outcome):
        return found
    raise DefinitionError(
        f"otherwise= has {value!r}", at=at, fix="give it an outcome: otherwise=hr.approve()"
    )


def _checked(rules: tuple[Rule, ...], at: SourceLine | None) -> tuple[Rule, ...]:
    for rule in rules:
        if not isinstance(rule, Rule):
            raise DefinitionError(
                f"{rule!r} is not a rule", at=at, fix="write hr.block('name', condition)"
            )
    return rules


def unknown(what: str, name: str, known: Collection[str], at: SourceLine | None) -> DefinitionError:
    """The error for a name that is not there, with the nearest that is."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    listed = ", ".join(sorted(known)) or "none"
    fix = f"did you mean {close[0]!r}?" if close else f"use one of: {listed}"
    return DefinitionError(f"there is no {what} {name!r}; there are: {listed}", at=at, fix=fix)


def check_sense(policy: Policy, known: reasoning.Known = reasoning.NOTHING_KNOWN) -> None:
    """Raise for what cannot be meant; only what is certain is called wrong.

    Args:
        policy: Any policy.
        known: What its operands can be.

    Raises:
        DefinitionError: With the line and the fix.
    """
    earlier: list[reasoning.Case] = []
    owners: list[Rule] = []
    for position, rule in enumerate(policy.rules):
        _check_thresholds(rule)
        found = reasoning.cases(rule.condition, known)
        if reasoning.never(found):
            raise DefinitionError(
                f"rule {rule.name} can never match: {rule.condition} is true of no event",
                at=rule.at,
                fix="correct the condition, or remove the rule",
            )
        if reasoning.always(found, known):
            after = len(policy.rules) - position - 1
            lost = f", so the {after} after it never decide" if after else ""
            raise DefinitionError(
                f"rule {rule.name} matches every event{lost}",
                at=rule.at,
                fix=f"correct the condition, or end the policy with otherwise={rule.outcome.name}",
            )
        if reasoning.always(earlier, known):
            raise DefinitionError(
                f"rule {rule.name} can never decide: the rules before it match every event",
                at=rule.at,
                fix=f"move it before them, or end the policy with"
                f" otherwise={policy.rules[position - 1].outcome.name}",
            )
        if reasoning.implied(found, earlier):
            by = sorted(
                {
                    owner.name
                    for owner, case in zip(owners, earlier, strict=True)
                    if any(mine.implies(case) for mine in found or ())
                }
            )
            raise DefinitionError(
                f"rule {rule.name} can never decide: wherever {rule.condition} holds, an earlier "
                f"rule has matched ({', '.join(by)})",
                at=rule.at,
                fix=f"move it before {by[0]}, or remove it",
            )
        for case in found or ():
            earlier.append(case)
            owners.append(rule)


def _check_thresholds(rule: Rule) -> None:
    for atom in atoms(rule.condition):
        if not isinstance(atom, Comparison) or atom.left.source is not Source.SCORE:
            continue
        if not isinstance(atom.right, Constant) or not isinstance(atom.right.value, Decimal):
            continue
        threshold = atom.right.value
        empty = reasoning.Range(*_ends(atom.relation, threshold)).meet(reasoning.UNIT).is_empty()
        full = reasoning.UNIT.within(reasoning.Range(*_ends(atom.relation, threshold)))
        if atom.relation in (Relation.EQ, Relation.NE):
            empty = full = not 0 <= threshold <= 1
        if empty or full:
            says = "never true" if empty else "always true"
            raise DefinitionError(
                f"rule {rule.name}: {atom} is {says}, for a score lies from 0 to 1",
                at=rule.at,
                fix="use a threshold between 0 and 1 (95 % is 0.95)",
            )


def _ends(relation: Relation, value: Decimal) -> tuple[Decimal, Decimal, bool, bool]:
    found = reasoning.Range()
    if relation in (Relation.LT, Relation.LE):
        return found.low, value, False, relation is Relation.LT
    if relation in (Relation.GT, Relation.GE):
        return value, found.high, relation is Relation.GT, False
    return value, value, False, False
