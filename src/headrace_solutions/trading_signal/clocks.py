"""How far the receiver's clock and an exchange's are apart, as measured from what was received.

Latency and the difference of clocks cannot be told apart from one side: what is measured is receive
time less event time. Where it is negative, the receiver's clock is behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_SECOND = 10**9
_QUANTILES = (0.0, 0.01, 0.5, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """Receive time less event time.

    Attributes:
        messages: How many were measured.
        quantiles: Seconds at 0, 1, 50, 99 and 100 %.
        drift: Seconds that the least difference moves by in a second: a line through the least of
            each of ten stretches of receive time.
        received_before: Share of messages that were received before they happened.
    """

    messages: int
    quantiles: tuple[float, ...]
    drift: float
    received_before: float

    def __str__(self) -> str:
        least, _, middle, _, most = self.quantiles
        return (
            f"{self.messages:,} messages: receive less event time {least:.3f} to {most:.3f} s, "
            f"median {middle:.3f} s, drift {self.drift * 1e6:+.1f} us a second; "
            f"{self.received_before:.0%} received before they happened"
        )


def clock_skew(frame: pa.Table) -> ClockSkew:
    """What the times of a stream's events say of the two clocks.

    Args:
        frame: With columns `at` and `received`.

    Raises:
        DataError: If there are no events.

    >>> import pyarrow as pa
    >>> times = {"at": [2_000_000_000, 3_000_000_000], "received": [500_000_000, 1_600_000_000]}
    >>> print(clock_skew(pa.table(times)))  # doctest: +ELLIPSIS
    2 messages: receive less event time -1.500 to -1.400 s, median -1.450 s, ...
    """
    if frame.num_rows == 0:
        raise DataError("no events: clocks are compared by the times of some")
    at, received = (frame[name].cast("int64").to_numpy() for name in ("at", "received"))
    late = (received - at) / _SECOND
    since = (received - received[0]) / _SECOND
    stretch = np.minimum((since / max(since[-1], 1e-9) * 10).astype(np.int64), 9)
    present = np.unique(stretch)
    least = np.array([late[stretch == n].min() for n in present])
    middle = np.array([since[stretch == n].mean() for n in present])
    drift = 0.0
    if len(present) > 1:
        centred = middle - middle.mean()
        drift = float((centred * (least - least.mean())).sum() / (centred**2).sum())
    return ClockSkew(
        messages=len(late),
        quantiles=tuple(float(q) for q in np.quantile(late, _QUANTILES)),
        drift=drift,
        received_before=float((late < 0).mean()),
    )
