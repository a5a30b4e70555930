"""What a use case says of adverse action: who decides, what counts as adverse, what can be changed.

A lender that turns somebody down has to say so, and why: by name, with the principal reasons, in
the United States under Regulation B (12 CFR 1002.9) and the Fair Credit Reporting Act (15 U.S.C.
1681m). This is the declaration; `headrace.lifecycle.notice` makes the notice from a decision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.core.errors import DefinitionError
from headrace.definitions.calls import checked_methods
from headrace.definitions.source_lines import user_line

if TYPE_CHECKING:
    from collections.abc import Collection

    from headrace.core.errors import SourceLine

#: The official interpretation of 12 CFR 1002.9(b)(2): more than four are not likely to be helpful.
REASONS_MOST = 4


@checked_methods
@dataclass(frozen=True, slots=True)
class Change:
    """A feature that a person can change, and how far.

    Only what stands alone is declared: a feature that others are computed of would move them too.

    Attributes:
        feature: Its name.
        direction: -1 where it can be lowered, 1 where it can be raised.
        step: What a change is counted in: values are multiples of it.
        limit: The furthest that it can be brought.
        text: How a wanted value is said, with `{value}`: `"utilisation of at most {value:.0%}"`.

    >>> Change("utilisation", -1, step=0.01, limit=0, text="utilisation of {value:.0%}").step
    0.01
    """

    feature: str
    direction: int
    step: float = field(kw_only=True)
    limit: float = field(kw_only=True)
    text: str = field(kw_only=True)
    at: SourceLine | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", user_line())
        if type(self.direction) is not int or self.direction not in (-1, 1):
            raise DefinitionError(
                f"direction={self.direction!r} of the change of {self.feature!r}",
                at=self.at,
                fix="give -1 where a person can lower it, 1 where a person can raise it",
            )
        if not 0.0 < self.step < math.inf or not math.isfinite(self.limit):
            raise DefinitionError(
                f"step={self.step!r}, limit={self.limit!r} of the change of {self.feature!r}",
                at=self.at,
                fix="give a step over 0 and a limit that is a number",
            )
        try:
            self.text.format(value=self.limit)
        except (KeyError, IndexError, ValueError) as error:
            raise DefinitionError(
                f"the text {self.text!r} of the change of {self.feature!r} cannot say a value",
                at=self.at,
                fix='use {value}, as in "utilisation of at most {value:.0%}"',
            ) from error


@checked_methods
@dataclass(frozen=True, slots=True)
class ScoreScale:
    """Points that a score is disclosed in: more points, less risk.

    Attributes:
        points: At odds of `odds` to 1 against.
        odds: See `points`.
        pdo: Points to double the odds.
        least: The lowest score there is.
        most: The highest.
    """

    points: float = 600.0
    odds: float = 50.0
    pdo: float = 20.0
    least: int = 300
    most: int = 850

    def of(self, probability: float) -> int:
        """The points of a probability.

        >>> ScoreScale().of(1 / 51), ScoreScale().of(1 / 101), ScoreScale().of(1.0)
        (600, 620, 300)
        """
        if probability <= 0.0:
            return self.most
        if probability >= 1.0:
            return self.least
        odds = (1.0 - probability) / probability
        points = self.points + self.pdo * math.log2(odds / self.odds)
        return round(min(max(points, self.least), self.most))


@checked_methods
@dataclass(frozen=True, slots=True)
class AdverseAction:
    """What notices of a use case say, and what they may suggest.

    Attributes:
        creditor: Name and address of who decides.
        agency: Name and address of who supervises them.
        outcomes: What counts as adverse, with how it is said: `{"block": "declined"}`.
        granted: Outcomes that grant what was asked for, mildest first, with what the application
            would have been: `{"approve": "approved"}`.
        requirements: What rules that do not ask for the score require, by the name of the rule:
            `{"instalment_too_high": "an instalment of at most 60% of the income"}`.
        changes: What a person can change.
        scale: What the score is disclosed in; None discloses none.
        bureau: Name and address of the agency whose report was used; "" where none was.
    """

    creditor: str
    agency: str
    outcomes: dict[str, str] = field(
        default_factory=lambda: {"block": "Your application was declined."}
    )
    granted: dict[str, str] = field(default_factory=lambda: {"approve": "approved"})
    requirements: dict[str, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    scale: ScoreScale | None = None
    bureau: str = ""
    at: SourceLine | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", user_line())
        for name in ("creditor", "agency"):
            if not getattr(self, name).strip():
                raise DefinitionError(
                    f"no {name} in hr.AdverseAction", at=self.at, fix="give a name and an address"
                )

        for name in ("outcomes", "granted", "requirements"):
            said = getattr(self, name)
            if not isinstance(said, dict) or not all(
                isinstance(text, str) and text.strip() for text in said.values()
            ):
                raise DefinitionError(
                    f"{name}={said!r} of hr.AdverseAction",
                    at=self.at,
                    fix='give words by name, as in {"approve": "approved"}',
                )

    def check(
        self, features: Collection[str], outcomes: Collection[str], rules: Collection[str]
    ) -> None:
        """See that it speaks of the use case's features, outcomes and rules.

        Raises:
            DefinitionError: With the line of what does not.
        """
        for change in self.changes:
            if change.feature not in features:
                raise DefinitionError(
                    f"a change of {change.feature!r}, which is no feature that is a number",
                    at=change.at,
                    fix=f"name one of {', '.join(features)}",
                )
        for outcome in (*self.outcomes, *self.granted):
            if outcome not in outcomes:
                raise DefinitionError(
                    f"the outcome {outcome!r} of hr.AdverseAction is none of the policy's",
                    at=self.at,
                    fix=f"name one of {', '.join(outcomes)}",
                )
        for rule in self.requirements:
            if rule not in rules:
                raise DefinitionError(
                    f"the rule {rule!r} of hr.AdverseAction is none of the policy's",
                    at=self.at,
                    fix=f"name one of {', '.join(rules)}",
                )
