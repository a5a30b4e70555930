"""Why an event is not accepted, and how a bad value is shown.

The numbers of `Reason` are written to quarantine and journal: they are never reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

#: The most bytes of one event as it comes in, unless a source says otherwise.
LONGEST_EVENT = 64 * 1024

#: The most characters of a bad value that are kept with a rejection.
LONGEST_SHOWN = 200


class Reason(IntEnum):
    """Why an event was quarantined; unsigned 16 bits."""

    # What came in cannot be told apart into fields.
    MALFORMED = 1
    NOT_AN_OBJECT = 2
    DUPLICATE_NAME = 3  # a JSON object names a member twice
    OVERSIZE = 4  # the event is longer than its source allows
    UNKNOWN_SCHEMA = 5  # it names a schema that the registry does not have
    UNFIT_SCHEMA = 6  # the schema that it names is none of events

    # One field is wrong.
    MISSING = 10
    WRONG_TYPE = 11
    BAD_UTF8 = 12
    NUL_CHARACTER = 13
    EMPTY = 14
    TOO_LONG = 15
    OUT_OF_RANGE = 16
    TOO_MANY_DIGITS = 17  # a decimal with more digits than the field's unit has
    NOT_EXACT = 18  # a binary float that is not within 1e-6 of a unit
    NOT_FINITE = 19
    UNKNOWN_CURRENCY = 20
    UNKNOWN_COUNTRY = 21
    CURRENCY_MISSING = 22  # an amount whose currency field is missing
    BAD_TIME = 23
    OFFSET_MISSING = 24
    NO_SUCH_LOCAL_TIME = 25  # skipped when clocks went forward
    AMBIGUOUS_LOCAL_TIME = 26  # passed twice when clocks went back

    # The event is well formed but cannot be accepted here and now.
    LATE = 40
    EARLY = 41
    ID_CONFLICT = 42  # an id seen before, with other content

    @cached_property
    def text(self) -> str:
        """The reason as people read it.

        >>> Reason.UNKNOWN_CURRENCY.text
        'unknown currency'
        """
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why one value, or one event, was not accepted.

    Attributes:
        reason: What was wrong.
        field: The first bad field in the order of the schema; "" when the event is bad as a whole.
        value: The bad value as people read it, at most `LONGEST_SHOWN` characters.
        expected: What would have been accepted.
    """

    reason: Reason
    field: str
    value: str
    expected: str


def shown(value: object) -> str:
    r"""A bad value as people read it: printable, and at most `LONGEST_SHOWN` characters.

    >>> shown("12,50"), shown(b"\xff1"), shown(None), shown(True)
    ('12,50', '\\xff1', 'null', 'true')
    >>> shown("a\x1b[2J")
    'a\\x1b[2J'
    """
    if isinstance(value, bytes):
        text = value[: LONGEST_SHOWN * 4].decode("utf-8", "backslashreplace")
    elif value is None:
        text = "null"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int) and value.bit_length() > LONGEST_SHOWN * 3:
        text = f"an integer of {value.bit_length()} bits"
    else:
        text = str(value)
    text = text[: LONGEST_SHOWN + 1]
    if not text.isprintable():
        text = "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode()
            for letter in text
        )
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
