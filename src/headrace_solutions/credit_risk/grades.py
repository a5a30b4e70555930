"""Grades of risk, and whether each defaults as often as its scores say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

#: Upper ends of the grades' probabilities of default.
GRADES: Mapping[str, float] = {"A": 0.01, "B": 0.025, "C": 0.05, "D": 0.10, "E": 0.16, "F": 1.01}


@dataclass(frozen=True, slots=True)
class GradeCalibration:
    """One grade's predicted and observed defaults.

    Attributes:
        grade: Its name.
        count: Loans.
        predicted: The mean probability of default.
        observed: The share that defaulted.
    """

    grade: str
    count: int
    predicted: float
    observed: float

    @property
    def errors_apart(self) -> float:
        """How many standard errors the observed share lies above the predicted."""
        variance = self.predicted * (1.0 - self.predicted) / self.count
        return (self.observed - self.predicted) / float(np.sqrt(variance))


def grade_of(score: Floats, grades: Mapping[str, float] = GRADES) -> NDArray[np.int64]:
    """The place of each score's grade.

    >>> grade_of(np.array([0.005, 0.01, 1.0])).tolist()
    [0, 1, 5]
    """
    ends = np.array(list(grades.values()))
    place: NDArray[np.int64] = np.searchsorted(ends, score, side="right").astype(np.int64)
    return place


def calibration_by_grade(
    score: Floats, bad: NDArray[np.bool_], grades: Mapping[str, float] = GRADES
) -> list[GradeCalibration]:
    """Predicted against observed, of the grades that hold any loan.

    Args:
        score: Probabilities of default.
        bad: Whether each defaulted.
        grades: The upper end of each grade, ascending.
    """
    place = grade_of(score, grades)
    return [
        GradeCalibration(
            name,
            int((place == number).sum()),
            float(score[place == number].mean()),
            float(bad[place == number].mean()),
        )
        for number, name in enumerate(grades)
        if (place == number).any()
    ]
