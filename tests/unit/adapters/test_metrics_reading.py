"""Pages of metrics are read back, and what lies between two of them is worked out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.adapters.metrics_reading import Interval, Reading
from headrace.adapters.prometheus import Buckets, Exposition, counter, gauge, histogram, info
from headrace.core.errors import DataError
from headrace.runtime.histogram import Histogram

BOUNDS = (1.0, 2.0, 4.0, 8.0)


def page(values: list[float], counted: float = 0) -> Reading:
    held = Histogram(BOUNDS)
    held.add(values)
    counts = held.counts()
    buckets = Buckets(counts.bounds, counts.buckets, counts.total)
    made = Exposition(
        lambda: [
            counter("seen", "Seen.", ("of",), {("a",): counted, ('b"\n\\',): 2}),
            gauge("held", "Held.", (), {(): 7}),
            histogram("took", "Took.", ("stage",), {("step",): buckets}),
            info("made", "Made.", {"version": "1"}),
        ]
    )
    return Reading.of(made.page("")[1].decode())


def test_what_is_written_is_read() -> None:
    told = page([0.5, 3.0], 5)
    assert told.by("seen_total", "of") == {"a": 5.0, 'b"\n\\': 2.0}
    assert told.value("seen_total") == 7
    assert told.value("held") == 7
    assert told.value("missing") == 0
    assert told.facts("made_info") == {"version": "1"}
    assert told.value("took_count", stage="step") == 2


def test_what_is_no_page_of_metrics_is_told() -> None:
    with pytest.raises(DataError, match="no page of metrics"):
        Reading.of("<html>hello</html>")


def test_a_counter_grows_by_the_second_and_a_restart_is_no_loss() -> None:
    before, now = page([], 10), page([], 30)
    assert Interval(before, now, 4.0).rate("seen_total") == 5.0
    assert Interval(now, before, 4.0).rate("seen_total") == 0.0
    assert Interval(before, now, 0.0).rate("seen_total") == 0.0
    assert Interval(before, now, 4.0).grown("seen_total", "of")["a"] == 20.0


@given(
    st.lists(st.floats(0.01, 8.0), max_size=40),
    st.lists(st.floats(0.01, 8.0), min_size=1, max_size=40),
    st.floats(0.01, 1.0),
)
def test_a_quantile_lies_in_the_bucket_of_the_exact_one(
    earlier: list[float], later: list[float], share: float
) -> None:
    between = Interval(page(earlier), page(earlier + later), 1.0)
    exact = np.quantile(later, share, method="inverted_cdf")
    told = between.quantile(share, "took", stage="step")
    edges = np.array([0.0, *BOUNDS])
    place = int(np.searchsorted(edges, exact)) - 1
    assert edges[place] - 1e-9 <= told <= edges[place + 1] + 1e-9
    assert math.isclose(between.mean("took"), float(np.mean(later)), abs_tol=1e-6)


def test_of_nothing_there_is_no_quantile() -> None:
    same = Interval(page([1.0]), page([1.0]), 1.0)
    assert math.isnan(same.quantile(0.5, "took"))
    assert math.isnan(same.mean("took"))
    assert Interval(Reading(), page([100.0]), 1.0).quantile(0.5, "took") == 8.0
