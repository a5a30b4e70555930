"""Fields that venues' JSON messages have in common, and what they may hold.

A hostile or broken message must not stop a capture from being read: whatever would not fit the
columns later (a number of a hundred digits, a symbol with an escape sequence in it) is refused
while its line is still known.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec

from headrace_solutions.trading_signal.quarantine import BadLine, Quarantine, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A price or size as text: below 90 million, which is what streams of `market` hold exactly, with
#: at most eight digits that say something after the point.
NUMBER = r"[0-8]?[0-9]{1,7}(?:\.[0-9]{1,8}0*)?"
#: The latest time that nanoseconds since 1970 in 64 bits tell.
LATEST_NS = 2**63 - 1
_SIDE = re.compile(
    rb'\[(?:\["' + NUMBER.encode() + rb'","' + NUMBER.encode() + rb'"\](?:,(?=\[)|(?=\])))*+\]'
)

Text: TypeAlias = Annotated[str, msgspec.Meta(pattern=rf"\A{NUMBER}\Z")]
Symbol: TypeAlias = Annotated[
    str, msgspec.Meta(pattern="\\A[!-~\u00a1-\ud7ff\ue000-\ufffd]{1,64}\\Z")
]
Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 2)]
Milliseconds: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=LATEST_NS // 1_000_000 - 1)]


def pairs(levels: bytes) -> bytes:
    """`[["1.5","20"],...]` as `1.5,20,...`.

    Raises:
        BadLine: If it is anything else.

    >>> pairs(b'[["1.5","20"],["1.4","3"]]')
    b'1.5,20,1.4,3'
    """
    if _SIDE.fullmatch(levels) is None:
        levels = levels.translate(None, b" \t\r\n")
        if _SIDE.fullmatch(levels) is None:
            raise BadLine(
                Reason.WRONG_TYPE,
                'levels, expected pairs of price and size, as in [["1.5","20"]], below 90 million',
            )
    return levels.translate(None, b'[]"')


def time_of(digits: bytes, unit_ns: int, what: str) -> int:
    """A receive time before a message, in nanoseconds.

    Args:
        digits: As it was written.
        unit_ns: Of the number.
        what: In words, as in "nanoseconds".

    Raises:
        BadLine: If it is no such time.

    >>> time_of(b"17", 1_000_000, "milliseconds")
    17000000
    """
    if not digits.isdigit() or len(digits) > 19 or int(digits) * unit_ns >= LATEST_NS:
        raise BadLine(Reason.BAD_TIME, f"no receive time in {what} since 1970 before the message")
    return int(digits) * unit_ns


@contextmanager
def one_line(quarantine: Quarantine, number: int, line: bytes) -> Iterator[None]:
    """Whatever a line's content makes fail goes to quarantine with it.

    Args:
        quarantine: Where to.
        number: Of the line.
        line: The line.
    """
    try:
        yield
    except BadLine as bad:
        quarantine.add(number, bad.reason, bad.detail, line)
    except msgspec.ValidationError as error:
        quarantine.add(number, _reason(str(error)), str(error), line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        quarantine.add(number, Reason.MALFORMED, str(error), line)
    except RecursionError:
        quarantine.add(number, Reason.MALFORMED, "nested deeper than any message", line)


def _reason(said: str) -> Reason:
    """What msgspec found wrong."""
    if "missing required field" in said:
        return Reason.MISSING
    return Reason.OUT_OF_RANGE if "`int` <=" in said or "`int` >=" in said else Reason.WRONG_TYPE
