"""One event as a JSON object, decoded in the general way: exact digits, strict grammar.

This is what the fast reader of JSON lines falls back on, and what it is tested against. The
decoder is the standard library's, made strict: no NaN or Infinity, no nesting past `DEEPEST`, and
numbers stay the digits that were written, so none is ever a binary float.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from headrace.events.json_token_kernels import DEEPEST
from headrace.events.reasons import Reason, Rejected, shown
from headrace.events.times import STRICT, Reading
from headrace.events.values import Number, Value, read_fields, read_row

if TYPE_CHECKING:
    from headrace.core.columns import Bytes
    from headrace.events.schema import Schema

#: A string, whole or cut off, or what is neither a string nor a bracket.
_NOT_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[^\[\]{}"]+', re.DOTALL)

_OBJECT = "one JSON object (RFC 8259) in UTF-8"


class _Members(list[tuple[str, Any]]):
    """The members of an object, in the order in which they stand, names perhaps repeated."""

    __slots__ = ()


def _refuse_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Members,
    parse_float=Number,
    parse_int=Number,
    parse_constant=_refuse_constant,
)


def read_object(
    schema: Schema, line: Bytes, longest: int, reading: Reading = STRICT
) -> dict[str, Value] | Rejected:
    """Read one event of `schema`; names that the schema does not have are passed over.

    Args:
        schema: What it should be.
        line: Its bytes, uint8.
        longest: The most bytes accepted.
        reading: What the source says of its times.

    >>> import numpy as np
    >>> from headrace.core.columns import Kind
    >>> from headrace.events.schema import Field, Schema
    >>> schema = Schema("Reading", (Field("x", Kind.INT),))
    >>> read_object(schema, np.frombuffer(b'{"x": 7, "y": [1]}', np.uint8), 100)
    {'x': 7}
    """
    members = _members(schema, line, longest)
    return members if isinstance(members, Rejected) else read_row(schema, members, reading)


def wrong_fields(
    schema: Schema, line: Bytes, longest: int, reading: Reading = STRICT
) -> list[Rejected]:
    """Everything that is wrong with one event, of which `read_object` tells the first alone.

    >>> import numpy as np
    >>> from headrace.core.columns import Kind
    >>> from headrace.events.schema import Field, Schema
    >>> schema = Schema("Reading", (Field("x", Kind.INT), Field("y", Kind.INT)))
    >>> [bad.field for bad in wrong_fields(schema, np.frombuffer(b'{"x": "a"}', np.uint8), 100)]
    ['x', 'y']
    """
    members = _members(schema, line, longest)
    return [members] if isinstance(members, Rejected) else read_fields(schema, members, reading)[1]


def _members(schema: Schema, line: Bytes, longest: int) -> dict[str, object] | Rejected:  # noqa: PLR0911 - it leaves where it knows
    """The members of an object that the schema has, as `read_row` takes them."""
    if len(line) > longest:
        head = bytes(line[:1000])
        return Rejected(Reason.OVERSIZE, "", shown(head), f"at most {longest} bytes")
    raw = line.tobytes()
    if _is_too_deep(raw):
        deep = f"{_OBJECT}, nested at most {DEEPEST} deep"
        return Rejected(Reason.MALFORMED, "", shown(raw), deep)
    try:
        members = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return Rejected(Reason.BAD_UTF8, "", shown(raw), _OBJECT)
    except ValueError as error:
        return Rejected(Reason.MALFORMED, "", shown(raw), f"{_OBJECT}; {error}")
    if not isinstance(members, _Members):
        return Rejected(Reason.NOT_AN_OBJECT, "", shown(raw), _OBJECT)
    names = frozenset(schema.names)
    values: dict[str, object] = {}
    for name, value in members:
        if name in values:
            return Rejected(Reason.DUPLICATE_NAME, name, shown(_plain(value)), "each field once")
        if name in names:
            values[name] = _plain(value)
    return values


def _is_too_deep(raw: bytes) -> bool:
    """Whether objects and arrays stand deeper than `DEEPEST`, brackets in strings not counted."""
    if raw.count(b"{") + raw.count(b"[") <= DEEPEST:
        return False
    depth = 0
    for bracket in _NOT_BRACKETS.sub(b"", raw):
        depth += 1 if bracket in b"{[" else -1
        if depth > DEEPEST:
            return True
    return False


def _plain(value: object) -> object:
    """A value as `read_row` takes it: an object or a list is shown as such, and fits no field."""
    return tuple(value) if isinstance(value, list) else value
