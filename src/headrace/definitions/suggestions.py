"""What a misspelt name may have meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from headrace.core.errors import DefinitionError
from headrace.definitions.source_lines import user_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.core.errors import SourceLine
    from headrace.events.schema import Field, Schema


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the nearest known name, "" if none is near.

    >>> did_you_mean("amuont", ["amount", "card"])
    "; did you mean 'amount'?"
    """
    near = difflib.get_close_matches(name, sorted(known), n=1) if isinstance(name, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def no_attribute(view: object, name: str) -> AttributeError | DefinitionError:
    """The error to raise where a user asks a view for what it does not have.

    Names with an underscore are asked for by Python, which expects an `AttributeError`.
    """
    if name.startswith("_"):
        return AttributeError(name)
    known = [method for method in dir(type(view)) if not method.startswith("_")]
    return DefinitionError(
        f"{view!r} has no {name!r}{did_you_mean(name, known)}",
        at=user_line(),
        fix=f"use one of {', '.join(known)}",
    )


def known_field(schema: Schema, name: str, at: SourceLine | None) -> Field:
    """The field called `name`.

    Raises:
        DefinitionError: If there is none, at the line that asked, with the nearest name.
    """
    if name in schema.names:
        return schema.field(name)
    if not isinstance(name, str):
        raise DefinitionError(
            f"{name!r} names no field of {schema.name}",
            at=at,
            fix=f"write a name as text, one of {', '.join(schema.names)}",
        )
    raise DefinitionError(
        f"{schema.name} has no field {name!r}{did_you_mean(name, schema.names)}",
        at=at,
        fix=f"use one of {', '.join(schema.names)}",
    )
