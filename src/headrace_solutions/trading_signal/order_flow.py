"""Order flow at a book: limit orders, cancels and market orders, at rates that the queues set.

The queue-reactive model (W. Huang, C.-A. Lehalle, M. Rosenbaum, *Simulating and analyzing order
book data: the queue-reactive model*, JASA 110, 2015): each of the nearest queues on either side of
a reference price grows and shrinks at rates that depend on its size; where the best queue empties,
the reference price moves by a tick with a given chance, and the queue that comes into sight is
drawn anew. To that come what it leaves out. Market orders excite all flow for a while (A. Hawkes,
*Spectra of some self-exciting and mutually exciting point processes*, Biometrika 58, 1971), which
clusters volume; activity drifts, and is higher at both ends of a session; and buyers outweigh
sellers for stretches of time, as when large orders are worked, which makes signs of trades persist
(F. Lillo, J. Farmer, *The long memory of the efficient market*, 2004).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from headrace_solutions.trading_signal.order_flow_kernels import session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Flow(NamedTuple):
    """Messages of one book in one session.

    Attributes:
        at_s: Seconds since the session opened, of each message.
        kind: `UPDATE` or `SNAPSHOT`.
        changes: How many changes each has.
        said: Of each change: 1 for a bid, its price in ticks, the lots that there are now.
        top: After each message: ticks and lots of the best bid, then of the best ask.
        trade: Of each trade: its message, ticks, lots, and 1 where a buyer took.
        last_tick: The reference price at the end.
    """

    at_s: NDArray[np.float64]
    kind: NDArray[np.int8]
    changes: NDArray[np.int64]
    said: NDArray[np.int64]
    top: NDArray[np.int64]
    trade: NDArray[np.int64]
    last_tick: int


def order_flow(
    rng: np.random.Generator, faults: NDArray[np.int8], tick: int, *, pace: float
) -> Flow:
    """A session's messages; the first is a snapshot.

    Args:
        rng: Of all that is random.
        faults: What goes wrong with each message: `SOUND`, `LOST`, ... A snapshot follows, and
            what crosses the book is taken back by the next message.
        tick: The reference price at first: the best bid may lie at it, the best ask one above.
        pace: How fast all is; 1 gives about 15 messages a second.
    """
    return Flow(*session(rng, faults, tick, pace))
