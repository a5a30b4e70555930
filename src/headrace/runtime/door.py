"""The door: what was read of a stream becomes inputs, with personal data left outside.

Text fields that are personal data are replaced by surrogates of the vault before anything else
sees them. The bytes of what could not be read are sealed in the vault, and what is said of them is
masked where the field is personal data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.columns import Batch
from headrace.events.quarantine import masked
from headrace.events.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.core.columns import Column, Text
    from headrace.events.parsed import Parsed
    from headrace.events.schema import Schema
    from headrace.security.vault import Vault

#: How long the bytes of an unreadable event are kept, sealed.
SEALED_NS = 30 * 86_400_000_000_000
_REASONS = {int(reason): reason.text for reason in Reason}


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One row that could not be read: why, and where its bytes are sealed."""

    reason: int
    field: str
    value: str
    expected: str
    reference: str
    length: int


class Door:
    """Takes in what was read of one stream.

    Args:
        schema: Of the stream.
        vault: Where personal data and unreadable bytes go; None lets everything through as it is
            and keeps no bytes, for computations that leave no record.
    """

    def __init__(self, schema: Schema, vault: Vault | None) -> None:
        self._schema = schema
        self._vault = vault
        personal = [field for field in schema.fields if field.pii]
        # the person first: what else is personal in an event is kept under that person's key
        self._personal = sorted(personal, key=lambda field: not field.subject)

    def typed(self, parsed: Parsed) -> Batch:
        """The valid rows, personal data replaced by surrogates."""
        if not self._personal or self._vault is None or len(parsed.batch) == 0:
            return parsed.batch
        columns: dict[str, Column] = dict(parsed.batch.columns)
        owner: Text | None = None
        for field in self._personal:
            given = parsed.batch.text(field.name)
            surrogates = self._vault.surrogates(field.name, given, owner)
            columns[field.name] = surrogates
            if field.subject:
                owner = surrogates
        return Batch(columns, len(parsed.batch))

    def refused(self, parsed: Parsed, raw: Callable[[int], bytes], now_ns: int) -> list[RefusedRow]:
        """The other rows, ascending; `raw` gives the bytes of a row as they came."""
        told, vault = parsed.rejections, self._vault
        rows: list[RefusedRow] = []
        for index, (row, reason) in enumerate(
            zip(told.rows.tolist(), told.reasons.tolist(), strict=True)
        ):
            data = raw(row)
            reference = ""
            if vault is not None:
                why = _REASONS[reason]
                reference = vault.seal(data, reason=why, expires_ns=now_ns + SEALED_NS)
            rows.append(
                RefusedRow(
                    reason=reason,
                    field=told.fields[index],
                    value=masked(self._schema, told.fields[index], told.values[index]),
                    expected=told.expected[index],
                    reference=reference,
                    length=len(data),
                )
            )
        return rows
