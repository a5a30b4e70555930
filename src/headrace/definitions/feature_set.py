"""Features: expressions with names."""

from __future__ import annotations

import keyword
from typing import TYPE_CHECKING

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError, SourceLine
from headrace.definitions.expressions import Expression
from headrace.definitions.source_lines import user_line
from headrace.definitions.suggestions import did_you_mean
from headrace.definitions.terms import FeatureValue, Outside, Term, made_of

if TYPE_CHECKING:
    from collections.abc import Iterator


#: The other columns of results: of frames of decisions, of sinks, and of the journal's tables.
RESULT_COLUMNS = frozenset(
    {
        "arm",
        "backfilled",
        "decision_id",
        "id",
        "margin",
        "model",
        "outcome",
        "policy",
        "reason",
        "reasons",
        "refused",
        "received",
        "rule",
        "rules",
        "score",
        "seq",
        "status",
    }
)


class Features:
    """Named values, in order; `features.card_count_5m` is one of them, for a policy.

    Made by `features`. `len()`, iteration over names and `["name"]` work as in a mapping.
    """

    def __init__(self, definitions: dict[str, Term], at: SourceLine | None) -> None:
        self._definitions = definitions
        self._at = at

    @property
    def definitions(self) -> dict[str, Term]:
        """What each feature is computed as."""
        return dict(self._definitions)

    def __len__(self) -> int:
        return len(self._definitions)

    def __iter__(self) -> Iterator[str]:
        return iter(self._definitions)

    def __contains__(self, name: object) -> bool:
        return name in self._definitions

    def __getitem__(self, name: str) -> Expression:
        at = user_line()
        if name not in self._definitions:
            raise DefinitionError(
                f"there is no feature {name!r}{did_you_mean(name, self._definitions)}",
                at=at,
                fix=f"use one of {', '.join(self._definitions)}",
            )
        term = self._definitions[name]
        made = made_of(FeatureValue(name, term), term.type, at, (term,))
        return Expression(_with_bound(made, term))

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __repr__(self) -> str:
        return f"<{len(self)} features: {', '.join(self)}>"


def _with_bound(made: Term, definition: Term) -> Term:
    return Term(
        made.node,
        made.type,
        made.at,
        bound=definition.bound,
        stream=made.stream,
        windowed=made.windowed,
        currency=definition.currency,
    )


def features(*more: Features, **named: Expression) -> Features:
    """Name the values that models and policies see.

    Args:
        *more: Features named before, which come first.
        **named: A name and an expression for each.

    Raises:
        DefinitionError: If a name clashes, with another or with a column of results (`id`,
            `score`, `outcome`, ...), or a value is no feature.
    """
    at = user_line()
    made: dict[str, Term] = {}
    for group in more:
        if not isinstance(group, Features):
            raise DefinitionError(
                f"{group!r} has no name", at=at, fix="write it as name=expression"
            )
        for name, term in group.definitions.items():
            _check_free(name, made, at)
            made[name] = term
    for name, value in named.items():
        _check_free(name, made, at)
        made[name] = _feature(name, value, at)
    if not made:
        raise DefinitionError("no features", at=at, fix="write some as name=expression")
    return Features(made, at)


def _check_free(name: str, made: dict[str, Term], at: SourceLine | None) -> None:
    if name in made:
        raise DefinitionError(f"two features are called {name!r}", at=at, fix="rename one")
    if name.lower() in RESULT_COLUMNS:  # SQL takes no notice of capital letters
        raise DefinitionError(
            f"a feature can't be called {name!r}: a column of results is called so",
            at=at,
            fix=f"rename it, as in card_{name.lower()}=...",
        )
    if hasattr(Features, name) or name.startswith("_") or not name.isidentifier():
        raise DefinitionError(
            f"a feature can't be called {name!r}", at=at, fix="give it a name of its own"
        )
    if keyword.iskeyword(name):
        raise DefinitionError(
            f"a feature can't be called {name!r}, a word of Python", at=at, fix="rename it"
        )


def _feature(name: str, value: object, at: SourceLine | None) -> Term:
    if not isinstance(value, Expression):
        raise DefinitionError(
            f"feature {name!r} is {value!r}, which is not an expression",
            at=at,
            fix="give a field, an aggregate or what is computed of them",
        )
    term = value.term
    if isinstance(term.node, Outside):
        raise DefinitionError(
            f"feature {name!r} is the {term.node.name}, which is made of features",
            at=term.at or at,
            fix="use it in the policy",
        )
    if term.type.kind is Kind.TIME:
        raise DefinitionError(
            f"feature {name!r} is a time, which is no number",
            at=term.at or at,
            fix="take a part, as in `.hour(zone)`, or `hr.seconds_between(first, second)`",
        )
    if term.type.kind is Kind.MONEY and term.type.varying:
        raise DefinitionError(
            f"feature {name!r} is {term.type}: its numbers mean different things",
            at=term.at or at,
            fix='convert it, as in `.in_currency("EUR", rates)`',
        )
    if not term.windowed and term.stream is None:
        raise DefinitionError(
            f"feature {name!r} is the same for every event",
            at=term.at or at,
            fix="read a field or a window",
        )
    return term
