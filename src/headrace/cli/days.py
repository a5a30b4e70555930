"""Days as a command line names them."""

from __future__ import annotations

import datetime as dt

from headrace.core.errors import DataError


def day_given(option: str, text: str | None) -> dt.date | None:
    """The day that an option names; None where it was left out.

    Raises:
        DataError: It is no day.

    >>> day_given("--day", "2026-01-05")
    datetime.date(2026, 1, 5)
    """
    if text is None:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"{option} {text}: expected a day, as in 2026-01-05") from error
