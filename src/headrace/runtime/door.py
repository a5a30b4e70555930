"""The door: what was read of a stream becomes inputs, with personal data left outside.

Text fields that are personal data are replaced by surrogates of the vault before anything else
sees them. The bytes of what could not be read are sealed in the vault, and what is said of them is
masked where the field is personal data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.columns import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.core.columns import Column
    from headrace.events.parsed import Parsed
    from headrace.events.schema import Schema
    from headrace.security.vault import Vault

#: What is shown in place of a value that is personal data.
MASKED = "(personal data)"


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One row that could not be read: why, and where its bytes are sealed."""

    reason: int
    field: str
    value: str
    expected: str
    reference: str
    length: int


@dataclass(frozen=True, slots=True)
class Door:
    """Takes in what was read of one stream.

    Attributes:
        schema: Of the stream.
        vault: Where personal data and unreadable bytes go.
    """

    schema: Schema
    vault: Vault

    def typed(self, parsed: Parsed) -> Batch:
        """The valid rows, personal data replaced by surrogates."""
        personal = [field for field in self.schema.fields if field.pii]
        if not personal or len(parsed.batch) == 0:
            return parsed.batch
        subject = next((field.name for field in personal if field.subject), None)
        columns: dict[str, Column] = dict(parsed.batch.columns)
        owner = parsed.batch.text(subject) if subject else None
        replaced: Mapping[str, Column] = {
            field.name: self.vault.surrogates(
                field.name, parsed.batch.text(field.name), None if field.subject else owner
            )
            for field in personal
        }
        columns.update(replaced)
        return Batch(columns, len(parsed.batch))

    def refused(self, parsed: Parsed, raw: Callable[[int], bytes]) -> list[RefusedRow]:
        """The other rows, ascending; `raw` gives the bytes of a row as they came."""
        personal = {field.name for field in self.schema.fields if field.pii}
        told = parsed.rejections
        rows: list[RefusedRow] = []
        for index, row in enumerate(told.rows.tolist()):
            data = raw(row)
            hidden = told.fields[index] in personal or not told.fields[index]
            rows.append(
                RefusedRow(
                    reason=int(told.reasons[index]),
                    field=told.fields[index],
                    value=MASKED if hidden and personal else told.values[index],
                    expected=told.expected[index],
                    reference=self.vault.seal(data),
                    length=len(data),
                )
            )
        return rows
