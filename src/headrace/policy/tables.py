"""A policy as a truth table, and the difference between two policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.policy.conditions import (
    All,
    AnyOf,
    Comparison,
    Condition,
    Membership,
    Missing,
    Not,
    atoms,
)

if TYPE_CHECKING:
    from headrace.policy.policy import Policy

#: More lines than this for one rule are not written out; the rule is shown by its condition.
LINES_MAX = 16


@dataclass(frozen=True, slots=True)
class TruthRow:
    """One way for a rule to match.

    Attributes:
        outcome: What it leads to.
        rule: Its name; "" on the last row, where no rule matches.
        cells: For each condition of the table: True, False, or None where it does not matter.
        note: The rule's condition, where it has too many ways to list.
    """

    outcome: str
    rule: str
    cells: tuple[bool | None, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class TruthTable:
    """A policy's rules in order of precedence, over the comparisons that they are made of.

    Printing it gives plain text.
    """

    conditions: tuple[str, ...]
    rows: tuple[TruthRow, ...]

    def __str__(self) -> str:
        letters = [_letter(i) for i in range(len(self.conditions))]
        lines = [
            f"  {letter:>2}  {text}" for letter, text in zip(letters, self.conditions, strict=True)
        ]
        names = max(len(row.rule or "otherwise") for row in self.rows)
        outcomes = max(len(text) for text in ("outcome", *(row.outcome for row in self.rows)))
        head = "  ".join(f"{letter:>3}" for letter in letters)
        lines += ["", f"  {'#':>2}  {'rule':<{names}}  {head}  {'outcome':<{outcomes}}".rstrip()]
        number, previous = 0, None
        for row in self.rows:
            same = row.rule == previous and row.rule != ""
            number += 0 if same or not row.rule else 1
            place = "" if same or not row.rule else str(number)
            shown = "" if same else row.rule or "otherwise"
            cells = "  ".join(f"{_CELLS[cell]:>3}" for cell in row.cells)
            note = f"  ({row.note})" if row.note else ""
            lines.append(f"  {place:>2}  {shown:<{names}}  {cells}  {row.outcome}{note}".rstrip())
            previous = row.rule
        return "\n".join(lines)


_CELLS = {True: "yes", False: "no", None: "-"}


def _letter(number: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def truth_table(policy: Policy) -> TruthTable:
    """The policy as a table: the first row whose cells all hold decides.

    >>> from headrace.policy.conditions import feature, score
    >>> from headrace.policy.policy import Policy, approve, block, review
    >>> print(truth_table(Policy(
    ...     block("score_very_high", score >= 0.95),
    ...     review("burst", (feature("count") > 8) & (score >= 0.2)),
    ...     otherwise=approve(),
    ... )))
       A  score >= 0.95
       B  count > 8
       C  score >= 0.2
    <BLANKLINE>
       #  rule               A    B    C  outcome
       1  score_very_high  yes    -    -  block
       2  burst              -  yes  yes  review
          otherwise          -    -    -  approve
    """
    conditions: list[str] = []
    for rule in policy.rules:
        for atom in atoms(rule.condition):
            if str(atom) not in conditions:
                conditions.append(str(atom))
    rows: list[TruthRow] = []
    nothing: tuple[bool | None, ...] = (None,) * len(conditions)
    for rule in policy.rules:
        ways = _ways(rule.condition, wanted=True)
        if ways is None:
            rows.append(TruthRow(rule.outcome.name, rule.name, nothing, str(rule.condition)))
            continue
        for way in ways:
            cells = tuple(way.get(text) for text in conditions)
            rows.append(TruthRow(rule.outcome.name, rule.name, cells))
    rows.append(TruthRow(policy.otherwise.name, "", nothing))
    return TruthTable(tuple(conditions), tuple(rows))


def _ways(condition: Condition, *, wanted: bool) -> list[dict[str, bool]] | None:
    """The ways for `condition` to be true (false): which of its atoms must be what."""
    if isinstance(condition, Comparison | Membership | Missing):
        return [{str(condition): wanted}]
    if isinstance(condition, Not):
        return _ways(condition.part, wanted=not wanted)
    if not isinstance(condition, All | AnyOf):
        return None
    joined: list[dict[str, bool]] = [{}]
    if isinstance(condition, All) is not wanted:
        joined = []
    for part in condition.parts:
        ways = _ways(part, wanted=wanted)
        if ways is None:
            return None
        if isinstance(condition, All) is wanted:
            joined = [one | way for one in joined for way in ways if _agree(one, way)]
        else:
            joined += [way for way in ways if way not in joined]
        if len(joined) > LINES_MAX:
            return None
    return joined


def _agree(one: dict[str, bool], other: dict[str, bool]) -> bool:
    return all(one.get(text, answer) is answer for text, answer in other.items())


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """What a new policy does differently from an old one; printing it gives plain text.

    Attributes:
        added: Rules that are new, as text.
        removed: Rules that are gone, as text.
        changed: Pairs of texts, of rules whose condition or outcome changed.
        moved: Names of rules that changed places among those kept.
        otherwise: The old and the new outcome where no rule matches, if they differ.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[tuple[str, str], ...]
    moved: tuple[str, ...]
    otherwise: tuple[str, str] | None

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.moved or self.otherwise)

    def __str__(self) -> str:
        lines = [f"- {text}" for text in self.removed]
        lines += [f"+ {text}" for text in self.added]
        for old, new in self.changed:
            lines += [f"- {old}", f"+ {new}"]
        lines += [f"~ {name} changed its place" for name in self.moved]
        if self.otherwise:
            lines += [f"- otherwise {self.otherwise[0]}", f"+ otherwise {self.otherwise[1]}"]
        return "\n".join(lines) or "no difference"


def diff(old: Policy, new: Policy) -> PolicyDiff:
    """What `new` does differently from `old`; rules are known by their names.

    >>> from headrace.policy.conditions import score
    >>> from headrace.policy.policy import Policy, approve, block
    >>> old = Policy(block("high", score >= 0.95), otherwise=approve())
    >>> print(diff(old, Policy(block("high", score >= 0.9), otherwise=approve())))
    - block high: score >= 0.95
    + block high: score >= 0.9
    """
    before = {rule.name: rule for rule in old.rules}
    after = {rule.name: rule for rule in new.rules}
    kept_before = [name for name in before if name in after]
    kept_after = [name for name in after if name in before]
    changed = tuple(
        (str(before[name]), str(after[name])) for name in kept_after if before[name] != after[name]
    )
    differs = old.otherwise != new.otherwise
    return PolicyDiff(
        added=tuple(str(rule) for name, rule in after.items() if name not in before),
        removed=tuple(str(rule) for name, rule in before.items() if name not in after),
        changed=changed,
        moved=_moved(kept_before, kept_after),
        otherwise=(old.otherwise.name, new.otherwise.name) if differs else None,
    )


def _moved(before: list[str], after: list[str]) -> tuple[str, ...]:
    """The fewest names whose moving turns `before` into `after`."""
    place = {name: i for i, name in enumerate(before)}
    # longest increasing subsequence of old places: those stay, the rest have moved
    chains: list[list[str]] = []
    for name in after:
        before_it = [chain for chain in chains if place[chain[-1]] < place[name]]
        chains.append([*_longest(before_it), name])
    stay = set(_longest(chains))
    return tuple(name for name in after if name not in stay)


def _longest(chains: list[list[str]]) -> list[str]:
    longest: list[str] = []
    for chain in chains:
        if len(chain) > len(longest):
            longest = chain
    return longest
