"""Use cases as plain data, made into what a user of Headrace would have written.

    {"name": ..., "on": "payments",
     "streams": {"payments": {"fields": {"at": {"type": "event_time"}, ...}, "lateness": "10m"}},
     "tables": {"rates": {"fields": {...}, "key": ["base", "quote"]}},
     "features": {"spend": ["sum", ["field", "payments", "amount"], {"of": "payments",
                            "by": ["card"], "window": "1d"}]},
     "books": {"book": {"of": "changes", "levels": 20, ...}},  # ["book", "book", "depth", "mid"]
     "label": {"by": "chargebacks", "reference": "payment_id", "within": "20d"},
     "policy": {"rules": [["block", "large", [">", ["feature", "spend"], 100]]],
                "otherwise": "approve"}}

An expression is a list, an operation and its arguments; anything else in its place is a literal.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import headrace as hr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Data = Mapping[str, Any]

TYPES: dict[str, Any] = {
    "id": hr.Id,
    "event_time": hr.EventTime,
    "known_at": hr.KnownAt,
    "time": hr.Time,
    "key": hr.Key,
    "category": hr.Category,
    "text": hr.Text,
    "float": hr.Float,
    "int": hr.Int,
    "bool": hr.Bool,
    "currency": hr.Currency,
    "country": hr.Country,
    "money": hr.Money,
    "decimal": hr.Decimal,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "&": operator.and_,
    "|": operator.or_,
}
UNARY: dict[str, Callable[[Any], Any]] = {"neg": operator.neg, "~": operator.invert, "abs": abs}
METHODS = {"floor", "log", "log1p", "exp", "sqrt", "hour", "minute", "minute_of_day", "weekday"}
METHODS |= {"day", "month", "year", "day_of_year", "is_weekend", "is_session", "clip"}
FUNCTIONS = {"coalesce", "minimum", "maximum", "great_circle", "seconds_between"}
OUTCOMES = {"block": hr.block, "review": hr.review, "approve": hr.approve}


def declared(name: str, fields: Data, base: type, classes: Mapping[str, type]) -> type:
    """An event class, or a row's."""
    annotations: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for field, spec in fields.items():
        is_ref = spec["type"] == "ref"
        # as `hr.Ref[Payment]`, of a class that is made here
        kind = hr.Ref.__class_getitem__(classes[spec["to"]]) if is_ref else TYPES[spec["type"]]  # type: ignore[attr-defined]  # of every generic class
        annotations[field] = kind | None if spec.get("optional") else kind
        said = {k: v for k, v in spec.items() if k not in ("type", "optional", "to")}
        if said:
            options[field] = hr.field(**said)
    body = {"__module__": __name__, "__annotations__": annotations, **options}
    return type(name.title().replace("_", ""), (base,), body)


class Builder:
    """Makes a use case of data."""

    def __init__(self, case: Data) -> None:
        self.case = case
        self.streams: dict[str, Any] = {}
        classes: dict[str, type] = {}
        for name, said in case["streams"].items():
            classes[name] = declared(name, said["fields"], hr.Event, classes)
            options = {key: value for key, value in said.items() if key != "fields"}
            self.streams[name] = hr.stream(classes[name], name=name, **options)
        self.tables = {
            name: hr.table(
                declared(name, said["fields"], hr.Row, classes), key=tuple(said["key"]), name=name
            )
            for name, said in case.get("tables", {}).items()
        }
        self.books = {
            name: self.streams[said["of"]].book(
                **{key: value for key, value in said.items() if key != "of"}
            )
            for name, said in case.get("books", {}).items()
        }

    def use_case(self, **more: Any) -> hr.UseCase:
        """The use case."""
        case = self.case
        features = hr.features(**{k: self.of(said) for k, said in case["features"].items()})
        label = case.get("label")
        if label is not None:
            of = self.streams[label["by"]].of(self.streams[case["on"]])
            more["label"] = of.within(label["within"])
        policy = case.get("policy")
        if policy is not None:
            rules = [
                OUTCOMES[outcome](name, self.condition(said, features))
                for outcome, name, said in policy["rules"]
            ]
            otherwise = hr.outcome(policy["otherwise"]).outcome  # type: ignore[attr-defined]  # the maker carries its outcome
            more["policy"] = hr.Policy(*rules, otherwise=otherwise)
        return hr.UseCase(name=case["name"], on=self.streams[case["on"]], features=features, **more)

    def of(self, said: Any) -> Any:  # noqa: C901, PLR0911 - one way for each
        """An expression."""
        if not isinstance(said, list):
            return said
        op, *args = said
        if op == "field":
            return self.streams[args[0]][args[1]]
        if op == "book":
            value = getattr(self.books[args[0]].at(self.streams[args[1]]), args[2])
            return value(*args[3:]) if callable(value) else value
        if op == "in_currency":
            at = {"at": self.of(args[3])} if len(args) > 3 else {}
            return self.of(args[0]).in_currency(args[1], self.tables[args[2]], **at)
        if op == "as_of":
            keys = {key: self.of(value) for key, value in args[3].items()}
            return self.tables[args[0]].as_of(self.of(args[2]), **keys)[args[1]]
        if isinstance(args[-1], dict):
            return self.aggregate(op, args)
        if op == "in":
            return self.of(args[0]).is_in(args[1])
        if op == "missing":
            return self.of(args[0]).is_missing()
        if op == "when":
            return hr.when(self.of(args[0])).then(self.of(args[1])).otherwise(self.of(args[2]))
        if op == "is_holiday":
            return self.of(args[0]).is_holiday(args[1], args[2], zone=args[3])
        given = [self.of(arg) for arg in args]
        if op in BINARY:
            return BINARY[op](*given)
        if op in UNARY:
            return UNARY[op](*given)
        return getattr(given[0], op)(*given[1:]) if op in METHODS else getattr(hr, op)(*given)

    def aggregate(self, op: str, args: list[Any]) -> Any:
        """A window's value."""
        said = dict(args[-1])
        keyed = self.streams[said.pop("of")].by(*said.pop("by"), asked_by=asked(said))
        window = said.pop("window")
        if "where" in said:
            said["where"] = self.of(said["where"])
        return getattr(keyed, op)(*[self.of(arg) for arg in args[:-1]], window, **said)

    def condition(self, said: Any, features: Any) -> Any:
        """A rule's condition."""
        if not isinstance(said, list):
            return said
        op, *args = said
        if op == "score":
            return hr.score
        if op == "feature":
            return features[args[0]]
        if op == "field":
            return self.streams[args[0]][args[1]]
        given = [self.condition(arg, features) for arg in args]
        if op == "missing":
            return given[0].is_missing()
        return UNARY[op](*given) if op in UNARY else BINARY[op](*given)


def asked(said: dict[str, Any]) -> tuple[str, ...] | None:
    """The fields that a key is asked by, taken out of a window's data."""
    found = said.pop("asked_by", None)
    return tuple(found) if found is not None else None
