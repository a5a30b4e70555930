"""What order books say for events, and where programs load it from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from headrace.definitions.plan import BookValue, Plan

#: What the name of a load begins with that is a value of a book; its number follows.
LOAD = "book:"


class BookAnswers(Struct, frozen=True):
    """What books say for a stream's rows.

    Attributes:
        found: For each declaration of books that the stream asks: words and validity, both values
            (see `values_in_rows`) by the stream's rows. What others ask is not there.
    """

    found: dict[int, tuple[NDArray[np.int64], NDArray[np.uint8]]] = field(default_factory=dict)


def values_in_rows(plan: Plan, book: int) -> list[tuple[int, BookValue]]:
    """The values that are read of a book with their numbers, in the order of its answers' rows.

    Those that one stream asks by one field stand together.
    """
    values = [(n, value) for n, value in enumerate(plan.book_values) if value.book == book]
    who = list(dict.fromkeys(map(asked_by, values)))
    return sorted(values, key=lambda value: who.index(asked_by(value)))


def asked_by(value: tuple[int, BookValue]) -> tuple[str, str]:
    """The stream that asks a value, and the field by which."""
    return value[1].stream, value[1].asked_by


class BookLoads:
    """The registers of a program that hold what books say.

    Args:
        plan: Of the books.
        loads: What the program loads, by register.
    """

    def __init__(self, plan: Plan, loads: Iterable[str]) -> None:
        numbers = {
            int(load.removeprefix(LOAD)): register
            for register, load in enumerate(loads)
            if load.startswith(LOAD)
        }
        self._of_books: list[tuple[int, NDArray[np.intp], NDArray[np.intp]]] = []
        for book in range(len(plan.books)):
            pairs = [
                (numbers[number], row)
                for row, (number, _) in enumerate(values_in_rows(plan, book))
                if number in numbers
            ]
            if pairs:
                registers, rows = np.array(pairs, dtype=np.intp).T.copy()
                self._of_books.append((book, registers, rows))

    def put(
        self, answers: BookAnswers, registers: NDArray[np.int64], valid: NDArray[np.uint8]
    ) -> None:
        """Fill the registers."""
        for book, into, rows in self._of_books:
            words, present = answers.found[book]
            registers[into], valid[into] = words[rows], present[rows]
