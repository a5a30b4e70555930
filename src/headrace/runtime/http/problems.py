"""Problem details (RFC 9457): what every answer that is no decision says."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - msgspec reads the annotation
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.events.quarantine import masked
from headrace.events.reasons import Reason

if TYPE_CHECKING:
    from headrace.events.reasons import Rejected
    from headrace.events.schema import Schema

#: The type of a problem's body.
PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request, or one event of it, got no decision.

    Attributes:
        status: The HTTP status code.
        detail: What was wrong, and what to do.
        errors: What is wrong with single fields: `field`, `reason`, `value`, `expected`.
        members: What else the body says, by name.
        retry_after: Seconds after which to try again.
    """

    status: int
    detail: str
    errors: Sequence[dict[str, str]] = ()
    members: dict[str, Any] = field(default_factory=dict)
    retry_after: int | None = None

    def encoded(self) -> bytes:
        """The body.

        >>> Problem(404, "there is no such page").encoded().decode()
        '{"type":"about:blank","title":"Not Found","status":404,"detail":"there is no such page"}'
        """
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = list(self.errors)
        return msgspec.json.encode(body | self.members)


def refused_fields(schema: Schema, wrong: Sequence[Rejected]) -> list[dict[str, str]]:
    """What is wrong with the fields of an event; personal data are masked."""
    return [
        {
            "field": item.field,
            "reason": Reason(item.reason).text,
            "value": masked(schema, item.field, item.value),
            "expected": item.expected,
        }
        for item in wrong
    ]
