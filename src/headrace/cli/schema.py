"""`headrace schema`: the schema of a stream's events, for those who write them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from headrace.cli.terminal import console
from headrace.core.errors import NotFound
from headrace.events.arrow_forms import arrow_schema
from headrace.events.avro_schema import avro_schema
from headrace.events.json_schema import json_schema
from headrace.events.proto_schema import proto_text
from headrace.runtime.loading import load_case

if TYPE_CHECKING:
    from headrace.events.schema import Schema
    from headrace.pipeline.use_case import UseCase


def schema(
    case: str,
    /,
    *,
    form: Literal["json", "avro", "protobuf", "arrow"] = "json",
    stream: str | None = None,
) -> None:
    """Print the schema of a stream's events: JSON Schema, Avro, Protobuf or Arrow.

    Parameters
    ----------
    case
        A Python file with the use case (FILE.py, or FILE.py:NAME), or a ready-made one.
    form
        How the events are written.
    stream
        Which stream or reference table; the decided one when left out.
    """
    found = _schema_of(load_case(case), stream)
    if form == "protobuf":
        said = proto_text(found).rstrip("\n")
    elif form == "arrow":
        said = str(arrow_schema(found))
    else:
        made = json_schema(found) if form == "json" else avro_schema(found)
        said = json.dumps(made, indent=2, ensure_ascii=False)
    console.out(said, highlight=False)


def _schema_of(use_case: UseCase, stream: str | None) -> Schema:
    plan = use_case.plan
    known = {item.name: item.schema for item in plan.streams}
    known |= {item.name: item.schema for item in plan.tables}
    wanted = stream if stream is not None else plan.on
    if wanted not in known:
        raise NotFound(
            f"{use_case.name} has no stream {wanted!r}; there are: {', '.join(sorted(known))}"
        )
    return known[wanted]
