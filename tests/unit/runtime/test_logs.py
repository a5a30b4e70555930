"""A record becomes one line, which quotes no exception but those made for people to read."""

import json
import logging

import pytest

from headrace.core.errors import DataError
from headrace.runtime.logs import JsonLines, TextLines

CARD = "4929000000000007"


def record(error: Exception | None, message: str, name: str) -> logging.LogRecord:
    caught = None
    if error is not None:
        try:
            raise error  # noqa: TRY301 - an exception that was raised has places
        except Exception as raised:  # noqa: BLE001 - any is to be logged
            caught = (type(raised), raised, raised.__traceback__)
    return logging.LogRecord(name, logging.ERROR, "", 1, message, None, caught)


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()])
def test_what_an_exception_quotes_is_left_out(lines: logging.Formatter) -> None:
    said = lines.format(record(ValueError(f"no number: {CARD}"), "failed", "headrace.service"))
    assert CARD not in said
    assert "ValueError" in said
    assert "test_logs.py" in said
    assert "\n" not in said


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()])
def test_of_a_library_the_first_line_is_logged(lines: logging.Formatter) -> None:
    message = f"Task exception was never retrieved\nfuture: <Task exception=ValueError({CARD})>"
    said = lines.format(record(ValueError(CARD), message, "asyncio"))
    assert "never retrieved" in said
    assert CARD not in said


def test_what_is_made_for_people_is_told_whole() -> None:
    error = DataError("the port 80 is taken; name another")
    told = json.loads(JsonLines().format(record(error, "failed", "headrace.service")))
    assert told["because"] == "the port 80 is taken; name another"
    assert told["level"] == "error"
