"""The last answers of a lane, at hand for requests that come again."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.runtime.http.answers import Answers

#: At least so many of the last answers are kept.
RECENT = 32_768


class RecentAnswers:
    """Answers of batch after batch, the oldest forgotten when there are too many.

    Args:
        least: How many are kept at least; at most twice as many are.

    >>> from headrace.runtime.http.answers import Answers
    >>> recent = RecentAnswers(2)
    >>> for seq in range(5):
    ...     recent.add(seq, Answers([seq], [b"%d" % seq]))
    >>> recent.get(4), recent.get(3), recent.get(0)
    (b'4', b'3', None)
    """

    def __init__(self, least: int = RECENT) -> None:
        self._least = least
        self._firsts: list[int] = []
        self._answers: list[Answers] = []
        self._older_firsts: list[int] = []
        self._older: list[Answers] = []
        self._count = 0

    def add(self, first_seq: int, answers: Answers) -> None:
        """Keep the answers of the next batch, which begins with that input."""
        if self._count >= self._least:
            self._older_firsts, self._firsts = self._firsts, []
            self._older, self._answers = self._answers, []
            self._count = 0
        self._firsts.append(first_seq)
        self._answers.append(answers)
        self._count += len(answers)

    def get(self, seq: int) -> bytes | None:
        """The answer to an input; None if it is not among the last."""
        firsts, answers = self._firsts, self._answers
        if not firsts or seq < firsts[0]:
            firsts, answers = self._older_firsts, self._older
        place = bisect_right(firsts, seq) - 1
        return answers[place].get(seq) if place >= 0 else None
