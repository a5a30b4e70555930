"""The log of a command that runs for long: lines of text or of JSON on stderr.

What is logged carries no personal data: a message is a sentence of the product's own, and what
varies stands beside it as facts (`extra={"facts": {...}}`). Of an exception the log names the type
and the places in the code, never its text, which may quote an event; that of a `HeadraceError` is
made for people to read, and masked where it is made.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headrace.core.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How a log is written.
LogFormat = Literal["text", "json"]

#: The logger above all of the product's own.
ROOT = "headrace"


@contextmanager
def logged(written: LogFormat) -> Iterator[None]:
    """Log to stderr: this product from `INFO` on, libraries from `WARNING` on.

    Where the log is of JSON, an error that ends the command is logged too, so that every line on
    stderr is of it; the command then ends with status 1.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if written == "json" else TextLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    own = logging.getLogger(ROOT)
    own.setLevel(logging.INFO)
    try:
        yield
    except HeadraceError as error:
        if written != "json":
            raise
        own.error("ended by an error", exc_info=error)
        sys.exit(1)


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """What varies in a record: its facts, and the type and places of an exception."""
    facts: dict[str, Any] = dict(getattr(record, "facts", {}))
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        facts["error"] = type(error).__name__
        if isinstance(error, HeadraceError):
            facts["because"] = str(error)
        else:
            frames = traceback.extract_tb(error.__traceback__)[-6:]
            facts["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return facts


def message_of(record: logging.LogRecord) -> str:
    """The sentence of a record; of a library's, the first line, which quotes nothing."""
    message = record.getMessage()
    own = record.name.partition(".")[0] == ROOT
    return message if own else message.partition("\n")[0]


def _time(record: logging.LogRecord) -> str:
    told = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")


class JsonLines(logging.Formatter):
    r"""One JSON object a line: time, level, logger, message, and the facts.

    >>> record = logging.LogRecord("headrace.service", 20, "", 1, "stopped", None, None)
    >>> record.created, record.facts = 0.0, {"decisions": 7}
    >>> print(JsonLines().format(record))
    {"time":"1970-01-01T00:00:00.000Z","level":"info","logger":"headrace.service","message":"stopped","decisions":7}
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message_of(record),
        }
        return msgspec.json.encode(line | facts_of(record)).decode()


class TextLines(logging.Formatter):
    """Time, level and message, and the facts as `name=value`.

    >>> record = logging.LogRecord("headrace.service", 20, "", 1, "stopped", None, None)
    >>> record.created, record.facts = 0.0, {"decisions": 7, "why": "a signal"}
    >>> print(TextLines().format(record))
    1970-01-01T00:00:00.000Z info stopped decisions=7 why="a signal"
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        facts = [f"{name}={_plain(value)}" for name, value in facts_of(record).items()]
        return " ".join([_time(record), record.levelname.lower(), message_of(record), *facts])


def _plain(value: object) -> str:
    """A value in one word; quoted where it is not one."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    one_word = isinstance(value, str) and text and not set(text) & set(' "=\n')
    return text if one_word or not isinstance(value, str) else msgspec.json.encode(text).decode()
