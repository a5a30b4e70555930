"""Whole use cases and histories of them, made up by hypothesis."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import strategies as st

Data = dict[str, Any]

START = dt.datetime(2026, 3, 28, 22, 59, 30, tzinfo=dt.UTC)
PAYMENT: Data = {
    "payment_id": {"type": "id"},
    "at": {"type": "event_time"},
    "card": {"type": "key"},
    "partner": {"type": "key", "optional": True},
    "merchant": {"type": "key"},
    "amount": {"type": "money", "currency_field": "currency"},
    "currency": {"type": "currency"},
    "fee": {"type": "money", "currency": "EUR", "optional": True},
    "size": {"type": "decimal", "scale": 2, "optional": True},
    "items": {"type": "int", "optional": True},
    "risk": {"type": "float", "optional": True},
    "online": {"type": "bool", "optional": True},
    "country": {"type": "country", "optional": True},
    "shop": {"type": "category", "optional": True},
    "due": {"type": "time", "optional": True},
}
CHARGEBACK: Data = {
    "chargeback_id": {"type": "id"},
    "at": {"type": "event_time"},
    "payment_id": {"type": "ref", "to": "payments"},
    "merchant": {"type": "key"},
    "loss": {"type": "money", "currency": "EUR", "optional": True},
    "why": {"type": "category", "optional": True},
}
RATE: Data = {
    "base": {"type": "currency"},
    "quote": {"type": "currency"},
    "rate": {"type": "decimal", "scale": 8, "optional": True},
    "valid_from": {"type": "event_time"},
    "known": {"type": "known_at"},
}
LIMIT: Data = {
    "card": {"type": "key"},
    "valid_from": {"type": "event_time"},
    "known": {"type": "known_at"},
    "most": {"type": "money", "currency": "EUR", "optional": True},
    "tier": {"type": "category", "optional": True},
    "weight": {"type": "float", "optional": True},
}
RECEIVED: Data = {"received": {"type": "known_at"}}


def field(name: str, stream: str = "payments") -> list[Any]:
    """A field as an expression."""
    return ["field", stream, name]


def euro() -> list[Any]:
    """The payment's amount in EUR."""
    return ["in_currency", field("amount"), "EUR", "rates"]


EXACT = [
    euro(),
    field("fee"),
    field("items"),
    field("size"),
    ["+", field("items"), field("size")],
    ["-", field("fee"), euro()],
    ["neg", field("fee")],
    ["abs", field("size")],
    ["minimum", euro(), field("fee")],
    ["clip", field("items"), -2, 3],
    ["coalesce", field("fee"), euro()],
    ["when", field("online"), field("fee"), euro()],
    ["as_of", "limits", "most", field("at"), {"card": field("card")}],
]
FLOATS = [
    field("risk"),
    ["*", euro(), 2],
    ["/", field("size"), field("items")],
    ["+", field("risk"), field("items")],
    ["maximum", field("risk"), field("size")],
    ["as_of", "limits", "weight", field("at"), {"card": field("card")}],
    ["seconds_between", field("due"), field("at")],
]
CODES = [
    field("shop"),
    field("country"),
    field("currency"),
    field("online"),
    field("merchant"),
    ["as_of", "limits", "tier", field("at"), {"card": field("partner")}],
]
CONDITIONS = [
    field("online"),
    ["~", field("online")],
    ["<", euro(), 4.995],
    [">=", field("risk"), 0.25],
    ["missing", field("fee")],
    ["in", field("country"), ["DE", "FR"]],
    ["in", field("size"), [0.5, 2, "1.25"]],
    ["==", field("shop"), "grocer"],
    ["!=", field("currency"), "EUR"],
    ["|", field("online"), [">", field("items"), 1]],
    ["&", ["<=", field("fee"), euro()], ["!=", field("items"), 0]],
    ["<", ["hour", field("at"), "Europe/Berlin"], 12],
]
LOSSES = [field("loss", "chargebacks"), ["abs", field("loss", "chargebacks")]]
WINDOWS = ["1s", "5s", "30s", "2m", "1h"]
EXTREMES = ["min", "max"]
PLACED = ["first", "last", "previous"]
MOMENTS = ["sum", "mean", "variance", "std"]


@st.composite
def windows(draw: st.DrawFn) -> list[Any]:
    """An aggregate over payments or chargebacks."""
    of_chargebacks = draw(st.sampled_from([False, False, False, True]))
    function = draw(
        st.sampled_from(
            ["count", *MOMENTS, *MOMENTS, *EXTREMES, *PLACED, "distinct", "seconds_since_last"]
        )
    )
    said: Data = {"window": draw(st.sampled_from(WINDOWS))}
    if of_chargebacks:
        said |= {"of": "chargebacks", "by": ["merchant"]}
        exact, floats, codes = LOSSES, LOSSES, [field("why", "chargebacks")]
    else:
        keys = [["card"], ["card"], ["merchant"], ["card", "merchant"], ["card", "currency"]]
        said |= {"of": "payments", "by": draw(st.sampled_from([*keys, ["country"]]))}
        exact, floats, codes = EXACT, FLOATS, CODES
        if said["by"] == ["card"] and draw(st.booleans()):
            said["asked_by"] = ["partner"]
        if said["by"] == ["card", "currency"]:
            exact = [*exact, field("amount")]
        if draw(st.sampled_from([False, False, True])):
            said["where"] = draw(st.sampled_from(CONDITIONS))
    delayed = draw(st.sampled_from([None, None, None, "3s", "40s"]))
    if delayed is not None:
        said["delay"] = delayed
    elif function not in ("previous", "seconds_since_last"):
        said["include_current"] = draw(st.booleans())
    bucketed = function in ("count", *EXTREMES, *MOMENTS)
    if bucketed and draw(st.sampled_from([False, False, True])):
        # buckets hold exact numbers alone
        said["every"] = draw(st.sampled_from(["1s", said["window"]]))
        floats = exact if function in MOMENTS else floats
    if function in ("count", "seconds_since_last"):
        return [function, said]
    values = [*exact, *floats]
    if function in ("distinct", *PLACED):
        values = [*values, *codes]
    value = draw(st.sampled_from(values))
    made = [function, value, said]
    # amounts of each event's own currency are no feature; their ratio is
    return ["/", field("amount"), made] if value == field("amount") else made


ROWS = [
    ["hour", field("at"), "Europe/Berlin"],
    ["minute_of_day", field("at"), "America/New_York"],
    ["weekday", field("due"), "Asia/Kolkata"],
    ["day", field("due"), "Pacific/Auckland"],
    ["is_weekend", field("at"), "America/New_York"],
    ["in_currency", field("amount"), "JPY", "rates"],
    ["in_currency", field("amount"), "USD", "rates", field("due")],
    ["floor", ["/", euro(), 3]],
    ["sqrt", field("risk")],
]


@st.composite
def expressions(draw: st.DrawFn) -> list[Any]:
    """What a feature is computed as."""
    shape = draw(st.sampled_from(["window", "window", "window", "window", "row", "ratio", "case"]))
    if shape == "row":
        return draw(st.sampled_from([*EXACT, *FLOATS, *CODES, *CONDITIONS, *ROWS]))
    if shape == "ratio":
        by: Data = {"of": "payments", "by": ["card"], "window": draw(st.sampled_from(WINDOWS))}
        return ["/", euro(), ["mean", euro(), by]]
    if shape == "case":
        by = {"of": "payments", "by": ["card"], "window": draw(st.sampled_from(WINDOWS))}
        condition = [">", ["count", by], 1]
        return ["when", condition, ["sum", field("fee"), by], None]
    return draw(windows())


def mentioned(said: Any) -> set[str]:
    """The names of streams and tables that an expression reads."""
    if isinstance(said, dict):
        found = {said["of"]} if "of" in said else set()
        return found.union(*map(mentioned, said.values()))
    if not isinstance(said, list) or not said:
        return set()
    found = {said[1]} if said[0] in ("field", "as_of") else set()
    found |= {said[3]} if said[0] == "in_currency" else set()
    return found.union(*map(mentioned, said))


@st.composite
def use_cases(draw: st.DrawFn) -> Data:
    """A use case of payments as data."""
    tolerances = {
        "lateness": st.sampled_from(["0s", "5s", "1m"]),
        "max_ahead": st.sampled_from(["0s", "10s", "1h"]),
        "dedupe": st.sampled_from(["0s", "10s", "1d"]),
    }
    known = {"payments": draw(st.booleans()), "chargebacks": draw(st.booleans())}
    streams = {}
    for name, fields in (("payments", PAYMENT), ("chargebacks", CHARGEBACK)):
        options = {key: draw(value) for key, value in tolerances.items()}
        if not known[name]:
            options["arrives_after"] = draw(st.sampled_from(["0s", "4s", "90s"]))
        streams[name] = {"fields": fields | (RECEIVED if known[name] else {}), **options}
    drawn = draw(st.lists(expressions(), min_size=1, max_size=6))
    features = {f"f{n}": said for n, said in enumerate(drawn)}
    by: Data = {"of": "payments", "by": ["card"], "window": "1m"}
    features["recent"] = ["count", by]
    used = mentioned(list(features.values()))
    return {
        "name": "drawn",
        "on": "payments",
        "streams": streams,
        "tables": {
            name: said
            for name, said in {
                "rates": {"fields": RATE, "key": ["base", "quote"]},
                "limits": {"fields": LIMIT, "key": ["card"]},
            }.items()
            if name in used
        },
        "features": features,
        "label": {"by": "chargebacks", "reference": "payment_id", "within": "1m"},
        "policy": {
            "rules": [
                ["block", "burst", [">", ["feature", "recent"], 3]],
                ["review", "dear", ["&", [">", field("fee"), 1.5], ["~", field("online")]]],
                ["review", "abroad", ["missing", field("country")]],
            ],
            "otherwise": "approve",
        },
    }


def at(seconds: float) -> str:
    """A time of the history as it is written."""
    return (START + dt.timedelta(seconds=seconds)).isoformat()


CLOCK = st.sampled_from([0, 0, 1, 1, 3, 10, 45])
BEHIND = st.sampled_from([0, 0, 0, 0, 0, 3, 5, 6, 60, 61, -1, -10, -11])
MAYBE_LATE = st.sampled_from([0, 0, 0, 2, 30])
EURO = st.sampled_from([None, "0.01", "1.50", "4.99", "5", "-3.25", "90071992547409.91"])
REFUSED = [("1.005", "EUR"), ("5", "XXQ"), (None, "EUR")]
PAYMENTS = st.fixed_dictionaries(
    {
        "card": st.sampled_from(["a", "a", "a", "b", "a card of some length"]),
        "partner": st.sampled_from(["a", "b", None]),
        "merchant": st.sampled_from(["m", "n"]),
        "money": st.sampled_from(
            [("12.34", "EUR"), ("0.05", "USD"), ("1234", "JPY"), ("1.005", "KWD")]
            + [("90071992547409.91", "USD"), ("9007199254740991", "JPY"), ("-7.5", "USD")] * 2
            + [("12.34", "EUR"), ("3.99", "EUR"), ("0.05", "EUR")] * 3
            + REFUSED
        ),
        "fee": EURO,
        "size": st.sampled_from([None, "0.5", "2", "-1.25", "90071992547409.91"]),
        "items": st.sampled_from([None, 0, 1, 2, -3, 2**53 - 1]),
        "risk": st.sampled_from([None, 0.1, 0.2, -0.3, 0.25, 1e300, -1e300, 5e-324, 0.0, -0.0]),
        "online": st.sampled_from([None, True, False]),
        "country": st.sampled_from([None, "DE", "FR", "US"]),
        "shop": st.sampled_from([None, "grocer", "petrol", "café"]),
        "due": st.sampled_from([None, 0, 5_400, -86_400 * 400]),
    }
)
CHARGEBACKS = st.fixed_dictionaries(
    {
        "payment_id": st.sampled_from([f"p{n}" for n in range(12)]),
        "merchant": st.sampled_from(["m", "n", "o"]),
        "loss": EURO,
        "why": st.sampled_from([None, "fraud", "grocer", "dispute"]),
    }
)
RATES = st.fixed_dictionaries(
    {
        "base": st.sampled_from(["USD", "JPY", "KWD", "EUR"]),
        "quote": st.sampled_from(["EUR", "EUR", "JPY", "USD"]),
        "rate": st.sampled_from(["0.91", "0.00612345", "3", "155.5", "90071992.54740991", None]),
    }
)
LIMITS = st.fixed_dictionaries(
    {
        "card": st.sampled_from(["a", "b"]),
        "most": EURO,
        "tier": st.sampled_from([None, "gold", "grocer"]),
        "weight": st.sampled_from([None, 0.5, -0.0, 1e-9]),
    }
)
KINDS: dict[str, st.SearchStrategy[Data]] = {
    "payments": PAYMENTS,
    "chargebacks": CHARGEBACKS,
    "rates": RATES,
    "limits": LIMITS,
}


@st.composite
def histories(draw: st.DrawFn, case: Data) -> dict[str, list[Data]]:
    """Lines of every stream and table of a use case, in the order of their files."""
    lines: dict[str, list[Data]] = {name: [] for name in KINDS}
    names = ["payments"] * 5 + ["chargebacks", *case["tables"]]
    clock = 0.0
    size = draw(st.integers(1, 45))
    for name in draw(st.lists(st.sampled_from(names), min_size=size, max_size=size)):
        clock += draw(CLOCK)
        line = dict(draw(KINDS[name]))
        behind, known = draw(BEHIND), draw(MAYBE_LATE)
        if name == "payments":
            line["payment_id"] = f"p{len(lines[name])}"
            line["amount"], line["currency"] = line.pop("money")
            line["due"] = None if line["due"] is None else at(line["due"])
        if name == "chargebacks":
            line["chargeback_id"] = f"c{len(lines[name])}"
        time = "valid_from" if name in case["tables"] else "at"
        line[time] = at(clock - behind)
        receipt = "known" if name in case["tables"] else "received"
        specs = case["tables"].get(name) or case["streams"][name]
        if receipt in specs["fields"]:
            line[receipt] = draw(st.sampled_from([at(clock + known), at(clock + known), None]))
        earlier = lines[name]
        if earlier and draw(st.sampled_from([False] * 6 + [True])):
            # what comes again comes now, as it was or with other content, or only with its id
            again = dict(draw(st.sampled_from(earlier[-6:])))
            other: Data = {} if name in case["tables"] else {"merchant": "z"}
            line = draw(
                st.sampled_from([again, again, again | other, again | {time: line[time]}])
            ) | ({receipt: line[receipt]} if receipt in line else {})
        lines[name].append(line)
    return lines
