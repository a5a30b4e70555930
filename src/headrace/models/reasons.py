"""Reason codes: the features that raised a score the most, and how to say so.

A reason is taken from the exact contributions to the margin, so it is the model's own, whatever
the model is: the features with the largest positive contributions, largest first. A feature that
lowered the score is never a reason for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import DataError, DefinitionError
from headrace.models.reason_kernels import largest

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_FEATURES = 2**15 - 1


def top_reasons(
    contributions: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """The reasons of each row: its largest positive contributions, largest first.

    Equal contributions are ordered by feature.

    Args:
        contributions: float64 `[features + 1, rows]`, C-contiguous, as
            `ContributionScorer.contributions` returns them.
        count: how many reasons to give, at least one.

    Returns:
        Feature numbers int16 `[count, rows]`, -1 where there is no further reason, and their
        contributions float64 `[count, rows]`, 0 there.

    Raises:
        DataError: another type or layout, or no reason asked for.

    >>> numbers, values = top_reasons(np.array([[0.5], [-2.0], [0.75], [-3.0]]), 3)
    >>> numbers[:, 0].tolist(), values[:, 0].tolist()
    ([2, 0, -1], [0.75, 0.5, 0.0])
    """
    if contributions.dtype != np.float64 or contributions.ndim != 2 or len(contributions) < 1:
        raise DataError(
            f"contributions are {contributions.dtype} {contributions.shape}; "
            "they must be float64 [features + 1, rows]"
        )
    if count < 1:
        raise DataError(f"{count} reasons were asked for; ask for at least one")
    if len(contributions) > _MOST_FEATURES:
        raise DataError(f"{len(contributions)} features are more than reason codes can number")
    numbers = np.full((count, contributions.shape[1]), -1, np.int16)
    values = np.zeros((count, contributions.shape[1]))
    largest(np.ascontiguousarray(contributions), len(contributions) - 1, count, numbers, values)
    return numbers, values


def reason_text(feature: str, value: object, template: str | None = None) -> str:
    """Say a reason in words, with the value of its feature.

    Args:
        feature: the feature's name.
        value: its value in the row: a number or a text; None or NaN is missing.
        template: a format with `{feature}` and `{value}`, such as
            `"{value:.0f} payments within five minutes"`. A format for numbers is not applied to a
            missing value: it reads `missing`. A truth without a format reads `yes` or `no`.

    Raises:
        DefinitionError: the template names something else, or cannot format the value.

    >>> reason_text("card_count_5m", 12.0, "{value:.0f} payments within five minutes")
    '12 payments within five minutes'
    >>> reason_text("card_mean_30d", float("nan"), "usual amount: {value:.2f}")
    'usual amount: missing'
    >>> reason_text("hour", 3.0)
    'hour is 3'
    >>> reason_text("no_account", True, "there is no current account: {value}")
    'there is no current account: yes'
    """
    if template is None:
        template = "{feature} is {value:g}" if isinstance(value, float) else "{feature} is {value}"
    said = value
    if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
        said = _Missing()
    elif isinstance(value, bool):
        said = _Truth(value)
    try:
        return template.format(feature=feature, value=said)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise DefinitionError(
            f"the reason text {template!r} cannot say {feature} = {value!r} ({error})",
            fix="use {feature} and {value}, with a format that fits the value",
        ) from error


class _Missing:
    """A missing value in a text: any format writes the same word."""

    def __format__(self, spec: str) -> str:
        return "missing"

    def __str__(self) -> str:
        return "missing"


class _Truth:
    """A truth in a text: a word, or by a format for numbers 1 and 0."""

    def __init__(self, value: bool) -> None:  # noqa: FBT001 - the value is all there is
        self._value = value

    def __format__(self, spec: str) -> str:
        return format(int(self._value), spec) if spec else str(self)

    def __str__(self) -> str:
        return "yes" if self._value else "no"
