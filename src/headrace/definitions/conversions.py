"""Money into another currency, and other terms that read beside the event's own fields."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.core.columns import Kind, pack_letters
from headrace.core.errors import DefinitionError
from headrace.definitions.suggestions import did_you_mean, known_field
from headrace.definitions.terms import (
    TIME,
    Applied,
    Constant,
    Converted,
    LookedUp,
    TableDefinition,
    Term,
    ValueType,
    field_bound,
    field_term,
    made_of,
    stored_type,
)
from headrace.events.currencies import digits_by_code
from headrace.events.schema import EXACT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.errors import SourceLine
    from headrace.definitions.plan import Op


def applied(op: Op, parts: Sequence[Term], kind: ValueType, at: SourceLine | None) -> Term:
    """One instruction over terms."""
    return made_of(Applied(op, tuple(parts)), kind, at, parts)


def in_currency(
    amount: Term,
    currency: str,
    table: TableDefinition,
    rate: str,
    time: Term | None,
    at: SourceLine | None,
) -> Term:
    """Money converted by a table of rates; the event's own time where `time` is None."""
    if amount.type.kind is not Kind.MONEY:
        raise DefinitionError(
            f"can't convert {amount.type}",
            at=at,
            fix="convert the amount itself, then aggregate or compute",
        )
    if currency not in digits_by_code():
        raise DefinitionError(
            f"unknown currency {currency!r}{did_you_mean(currency, digits_by_code())}",
            at=at,
            fix='use ISO 4217, as in "EUR"',
        )
    spec = _check_rates(table, rate, at)
    if time is None:
        if amount.stream is None:
            raise DefinitionError(
                "this amount belongs to no event, so there is no time to convert it at",
                at=at,
                fix="give the time, as in `at=payments.at`",
            )
        event_time = amount.stream.schema.field(amount.stream.event_time)
        time = field_term(amount.stream, event_time, at)
    if time.type != TIME:
        raise DefinitionError(f"at= is {time.type}", at=at, fix="give a time, as in `payments.at`")
    source = amount.currency
    if source is None:
        packed = Constant(pack_letters(amount.type.unit), repr(amount.type.unit))
        source = Term(packed, ValueType(Kind.CURRENCY), at)
    digits = digits_by_code()[currency]
    node = Converted(amount, source, time, table, rate, spec, currency, digits)
    made = made_of(node, ValueType(Kind.MONEY, digits, currency), at, (amount, source, time))
    # An amount that is in the currency already stays as it is.
    return replace(made, bound=max(EXACT_LIMIT, amount.bound))


def _check_rates(table: TableDefinition, rate: str, at: SourceLine | None) -> int:
    """The digits of the rate."""
    kinds = [table.schema.field(name).kind for name in table.key]
    if kinds != [Kind.CURRENCY, Kind.CURRENCY]:
        raise DefinitionError(
            f"table {table.name!r} is keyed by {table.key}, not by two currencies",
            at=at,
            fix='give a table of rates, as in hr.table(Rate, key=("base", "quote"))',
        )
    spec = known_field(table.schema, rate, at)
    if spec.kind is not Kind.DECIMAL:
        raise DefinitionError(
            f"the rate {spec.name!r} of {table.schema.name} is no exact decimal",
            at=at,
            fix="declare it as `rate: hr.Decimal(8)`",
        )
    return spec.scale


def look_up(
    table: TableDefinition, name: str, time: Term, keys: tuple[Term, ...], at: SourceLine | None
) -> Term:
    """A field of the row of a table that is valid and known at a time."""
    spec = known_field(table.schema, name, at)
    if spec.currency_field:
        raise DefinitionError(
            f"{table.schema.name}.{name} is money in a currency that differs from row to row",
            at=at,
            fix='declare it in one currency, as in `limit: hr.Money("EUR")`',
        )
    kind = stored_type(spec, table.name)
    made = made_of(LookedUp(table, name, time, keys), kind, at, (time, *keys))
    return replace(made, bound=field_bound(spec))
