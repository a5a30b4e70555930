"""The loop of a session: which event comes next, and what it leaves of the queues.

Queues are lots at levels: `queues[side, level]`, bids first, the nearest level first. Sides of
market orders are those of the queue that is taken from: 1 is a buyer's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Integers: TypeAlias = NDArray[np.int64]
    Floats: TypeAlias = NDArray[np.float64]

#: Levels of a side that the feed shows.
LEVELS = 10
#: Kinds of messages, and what goes wrong with one on its way.
UPDATE, SNAPSHOT = 0, 1
SOUND, LOST, LATE, CROSSED, MALFORMED = range(5)
#: Messages between a fault and the snapshot that was asked for because of it.
RESYNC = 25

_FAR = 0.80  # rate of limit orders at a queue, relative to that at the nearer one
_LIMIT, _MARKET = 0.8, 0.30  # a second, at the best queue
_USUAL = 7.0  # lots of the best queue where as many come as go
_MOVES = 0.7  # chance that the reference price follows a best queue that empties
_EXCITES, _CALMS, _EXCITED_MOST = 0.25, 0.6, 3.0  # by a market order; a second; in all
_ACTIVITY_S, _ACTIVITY = 90.0, 0.45  # how long activity stays, and how far it goes
_PRESSURE_S, _PRESSURE = 12.0, 0.8
_CHANGES_MOST = 8  # of a message that is no snapshot

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def _compiled(function: _Function) -> _Function:
    """Compiled, and cached beside its source or in the user's cache."""
    jit: Any = numba.njit(cache=True)
    made: _Function = jit(function)
    return made


@_compiled
def session(
    rng: np.random.Generator, faults: NDArray[np.int8], tick: int, pace: float
) -> tuple[Any, ...]:
    """The parts of a `Flow`."""
    count = len(faults)
    most = _CHANGES_MOST * count + 2 * LEVELS * (2 + (faults != SOUND).sum())
    at, kind = np.empty(count), np.zeros(count, np.int8)
    changes, top = np.zeros(count, np.int64), np.empty((count, 4), np.int64)
    said = np.empty((most, 3), np.int64)
    trade = np.empty((LEVELS * count, 4), np.int64)
    queues = np.empty((2, LEVELS), np.int64)
    for side in range(2):
        for level in range(LEVELS):
            queues[side, level] = _lots(rng, _usual(level))
    rates = np.empty((2, 2 * LEVELS + 1))
    activity = pressure = excited = now = 0.0
    done, traded, resync, crossed = 0, 0, 0, -1
    for n in range(count):
        first = done
        if crossed >= 0:
            said[done, 0], said[done, 1], said[done, 2] = 1, crossed, 0
            done, crossed = done + 1, -1
        if n == resync:
            now += 1e-3
            kind[n] = SNAPSHOT
            done = _say_all(said, first, queues, tick)
        else:
            ends = 2.0 * n / count - 1.0
            base = pace * (1.0 + 0.8 * ends * ends) * np.exp(activity)
            total = _rates(queues, pressure, rates)
            waited, excited = _wait(rng, total * base, excited)
            now += waited
            activity = _drift(rng, activity, waited, _ACTIVITY_S, _ACTIVITY)
            pressure = _drift(rng, pressure, waited, _PRESSURE_S, _PRESSURE)
            side, event = _chosen(rng, rates, total)
            emptied = 0
            if event < LEVELS:
                queues[side, event] += _lots(rng, 1.6)
                done = _say(said, done, queues, tick, side, event)
            elif event < 2 * LEVELS:
                level = event - LEVELS
                nearest = _nearest(queues[side])
                queues[side, level] -= min(queues[side, level], _lots(rng, 1.8))
                done = _say(said, done, queues, tick, side, level)
                emptied = 1 if level == nearest and queues[side, level] == 0 else 0
            else:
                excited = min(excited + _EXCITES, _EXCITED_MOST)
                done, traded, emptied = _take(rng, n, said, done, trade, traded, queues, tick, side)
            while emptied > 0 and queues[side, 0] == 0 and rng.random() < _MOVES:
                emptied -= 1
                tick, done = _moved(rng, said, done, queues, tick, side)
        if faults[n] == CROSSED and kind[n] == UPDATE:
            crossed = _tick(tick, 1, _nearest(queues[1]))
            said[done, 0], said[done, 1], said[done, 2] = 1, crossed, 3
            done += 1
        elif faults[n] != SOUND and faults[n] != CROSSED and resync <= n:
            resync = n + RESYNC
        for side in range(2):
            level = _nearest(queues[side])
            top[n, 2 * side] = _tick(tick, side, level)
            top[n, 2 * side + 1] = queues[side, level]
        at[n], changes[n] = now, done - first
    return at, kind, changes, said[:done].copy(), top, trade[:traded].copy(), tick


@_compiled
def _wait(rng: np.random.Generator, rate: float, excited: float) -> tuple[float, float]:
    """The wait for the next event, and the excitement that is left: by thinning (Ogata, 1981)."""
    waited = 0.0
    while True:
        bound = rate * (1.0 + excited)
        step = -np.log(1.0 - rng.random()) / bound
        waited += step
        excited *= np.exp(-_CALMS * step)
        if rng.random() * bound <= rate * (1.0 + excited):
            return waited, excited


@_compiled
def _take(
    rng: np.random.Generator,
    message: int,
    said: Integers,
    done: int,
    trade: Integers,
    traded: int,
    queues: Integers,
    tick: int,
    side: int,
) -> tuple[int, int, int]:
    """A market order takes from the best queues: changes and trades so far, queues it emptied."""
    wanted, level, emptied = _lots(rng, 2.6), _nearest(queues[side]), 0
    while wanted > 0 and level < LEVELS - 2 and emptied < 2:
        taken = min(wanted, queues[side, level])
        if taken > 0:
            trade[traded, 0], trade[traded, 1] = message, _tick(tick, side, level)
            trade[traded, 2], trade[traded, 3] = taken, side
            traded += 1
            queues[side, level] -= taken
            wanted -= taken
            done = _say(said, done, queues, tick, side, level)
            emptied += 1 if queues[side, level] == 0 else 0
        level += 1
    return done, traded, emptied


@_compiled
def _say_all(said: Integers, done: int, queues: Integers, tick: int) -> int:
    """Write all levels that there are."""
    for side in range(2):
        for level in range(LEVELS):
            if queues[side, level]:
                done = _say(said, done, queues, tick, side, level)
    return done


@_compiled
def _tick(tick: int, side: int, level: int) -> int:
    """The price of a level: bids from the reference price down, asks from one above it up."""
    return tick - level if side == 0 else tick + 1 + level


@_compiled
def _usual(level: int) -> float:
    """Lots of a queue where as many come as go: more a little away from the best."""
    return _USUAL * (1.0 + 0.35 * min(level, 4))


@_compiled
def _lots(rng: np.random.Generator, mean: float) -> int:
    """Whole lots, one or more: geometric with that mean."""
    return 1 + int(np.floor(np.log(1.0 - rng.random()) / np.log(1.0 - 1.0 / mean)))


@_compiled
def _nearest(queue: Integers) -> int:
    """The nearest level that is not empty; the last where all are."""
    for level in range(LEVELS):
        if queue[level] > 0:
            return level
    return LEVELS - 1


@_compiled
def _drift(
    rng: np.random.Generator, value: float, waited: float, holds_s: float, far: float
) -> float:
    """A step of a process that returns to 0 (Ornstein-Uhlenbeck), exact for any wait."""
    kept = np.exp(-waited / holds_s)
    moved: float = value * kept + far * np.sqrt(1.0 - kept * kept) * rng.normal()
    return moved


@_compiled
def _rates(queues: Integers, pressure: float, rates: Floats) -> float:
    """Rates of limit orders and cancels at each queue, and of market orders; their sum."""
    total = 0.0
    for side in range(2):
        # buyers that press buy at the ask, leave less of it, and queue up at the bid
        push = pressure if side == 0 else -pressure
        nearest = _nearest(queues[side])
        for level in range(LEVELS):
            queue, usual = queues[side, level], _usual(level)
            base = _LIMIT * _FAR**level * np.exp(0.25 * push)
            # an empty place before the best draws orders that would be first in line
            rates[side, level] = base * (
                4.0 if level < nearest else 1.3 - 0.3 * min(queue / usual, 2.0)
            )
            rates[side, LEVELS + level] = base * np.exp(-0.5 * push) * queue / usual
        best = queues[side, nearest]
        rates[side, 2 * LEVELS] = (
            _MARKET * np.exp(-0.9 * push - 0.08 * best) * 0.4**nearest if best > 0 else 0.0
        )
        total += rates[side].sum()
    return total


@_compiled
def _chosen(rng: np.random.Generator, rates: Floats, total: float) -> tuple[int, int]:
    """The side and number of an event, by its rate."""
    left = rng.random() * total
    for side in range(2):
        for event in range(2 * LEVELS + 1):
            left -= rates[side, event]
            if left < 0.0:
                return side, event
    return 1, 0


@_compiled
def _say(said: Integers, done: int, queues: Integers, tick: int, side: int, level: int) -> int:
    """Write what is at a level now."""
    said[done, 0], said[done, 1] = 1 - side, _tick(tick, side, level)
    said[done, 2] = queues[side, level]
    return done + 1


@_compiled
def _moved(
    rng: np.random.Generator, said: Integers, done: int, queues: Integers, tick: int, side: int
) -> tuple[int, int]:
    """Move the reference price to where a side's best queue was: one level goes, one comes."""
    other = 1 - side
    if queues[other, LEVELS - 1]:
        queues[other, LEVELS - 1] = 0
        done = _say(said, done, queues, tick, other, LEVELS - 1)
    for level in range(LEVELS - 1, 0, -1):
        queues[other, level] = queues[other, level - 1]
    queues[other, 0] = 0
    for level in range(LEVELS - 1):
        queues[side, level] = queues[side, level + 1]
    queues[side, LEVELS - 1] = _lots(rng, _usual(LEVELS - 1))
    tick += 1 if side == 1 else -1
    return tick, _say(said, done, queues, tick, side, LEVELS - 1)
