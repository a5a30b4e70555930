"""The service as an OpenAPI document: what it takes and gives, for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace import __version__
from headrace.events.json_schema import json_schema
from headrace.runtime.http.problems import PROBLEM_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.events.schema import Schema

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_OBJECT = {"type": "object"}

_DECISION: dict[str, Any] = {
    "type": "object",
    "required": [
        "decision_id", "outcome", "rule", "rules", "score", "reasons", "versions", "durability",
    ],
    "properties": {
        "decision_id": {"type": ["string", "null"], "description": "null of a fallback"},
        "outcome": _TEXT,
        "rule": {"type": ["string", "null"], "description": "the rule that decided"},
        "rules": {"type": "array", "items": _TEXT, "description": "every rule that matched"},
        "score": {"type": ["number", "null"]},
        "reasons": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["feature", "contribution", "text"],
                "properties": {
                    "feature": _TEXT, "contribution": {"type": "number"}, "text": _TEXT,
                },
            },
        },
        "scores": {
            "type": "object",
            "additionalProperties": {"type": ["number", "null"]},
            "description": "of each class, where the model tells several apart",
        },
        "versions": {"type": "object", "additionalProperties": _TEXT},
        "durability": {"enum": ["fsync", "os", "async"]},
        "fallback": {"type": "boolean", "description": "it was not decided in time"},
    },
}  # fmt: skip
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": dict.fromkeys(("field", "reason", "value", "expected"), _TEXT),
            },
        },
        "quarantined": {"type": "string", "description": "where the event is kept"},
    },
}
_RECEIPT = {"type": "object", "required": ["accepted"], "properties": {"accepted": _TEXT}}
_STATUS = {"type": "object", "required": ["status"], "properties": {"status": _TEXT}}

#: What each status that is no success says.
_REFUSALS = {
    "400": "what was sent is no event, or no JSON",
    "401": "an API key is needed",
    "403": "the API key has not the role",
    "404": "there is no such thing",
    "405": "another method is meant",
    "408": "the body did not come in time",
    "409": "the id has other content",
    "413": "the body, or an event in it, is too long",
    "415": "bodies of this type, or compressed ones, are not read",
    "422": "a field is wrong, or the event is late or early",
    "429": "too many events wait already",
    "503": "nothing can be decided any more",
    "504": "no decision within the deadline",
}


def openapi(use_case: str, on: str, schemas: Mapping[str, Schema]) -> bytes:
    """The document of a service, as JSON.

    Args:
        use_case: Its name.
        on: Name of the decided stream.
        schemas: Of streams and tables, by name.
    """
    events = {name: {"$ref": f"#/components/schemas/{name}"} for name in schemas}
    decision, receipt = (_ref("Decision"), _ref("Receipt"))
    paths: dict[str, Any] = {
        f"/v1/{use_case}/decisions": {
            "post": _post(f"Decide events of {on}", events[on], decision, deadline=True)
        }
    }
    for name, event in events.items():
        paths[f"/v1/{use_case}/events/{name}"] = {
            "post": _post(f"Take events of {name}", event, decision if name == on else receipt)
        }
    named = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
    for path, summary in (
        ("/v1/decisions/{id}", "A decision, taken apart; by its id, or by that of its event"),
        ("/v1/decisions/{id}/proof", "A proof of a decision"),
    ):
        paths[path] = {"get": _operation(summary, _OBJECT, "404", "409") | {"parameters": [named]}}
    paths["/healthz"] = {"get": _open(_operation("Whether it runs", _STATUS, "503"))}
    paths["/readyz"] = {"get": _open(_operation("Whether it takes requests", _STATUS, "503"))}
    components = {
        "schemas": {name: _component(schema) for name, schema in schemas.items()}
        | {"Decision": _DECISION, "Receipt": _RECEIPT, "Problem": _PROBLEM},
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    }
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": f"Headrace: {use_case}", "version": __version__},
            "paths": paths,
            "components": components,
            "security": [{}, {"key": []}],
        }
    )


def _component(schema: Schema) -> dict[str, Any]:
    made = json_schema(schema)
    made.pop("$schema")
    return made


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _post(
    summary: str, event: dict[str, Any], answer: dict[str, Any], *, deadline: bool = False
) -> dict[str, Any]:
    """The operation of a path that takes events."""
    several = {"type": "array", "items": event, "minItems": 1}
    answers = {"oneOf": [answer, {"type": "array", "items": {"anyOf": [answer, _ref("Problem")]}}]}
    made = _operation(
        summary, answers, "400", "408", "409", "413", "415", "422", "429", "503", "504"
    )
    made["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {"schema": {"oneOf": [event, several]}},
            "application/x-ndjson": {"schema": _TEXT},
            "application/vnd.apache.arrow.stream": {"schema": {"type": "string"}},
        },
    }
    if deadline:
        made["parameters"] = [
            {
                "name": "Headrace-Deadline-Ms",
                "in": "header",
                "description": "how long the request waits for its decision",
                "schema": {"type": "integer", "minimum": 1, "maximum": 600_000},
            }
        ]
    return made


def _operation(summary: str, answer: dict[str, Any], *refusals: str) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {"description": "done", "content": {"application/json": {"schema": answer}}}
    }
    for status in sorted({"401", "403", *refusals}):
        responses[status] = {
            "description": _REFUSALS[status],
            "content": {PROBLEM_TYPE: {"schema": _ref("Problem")}},
        }
    return {"summary": summary, "responses": responses}


def _open(operation: dict[str, Any]) -> dict[str, Any]:
    """An operation that needs no key."""
    return operation | {"security": [{}]}
