"""The logarithm that XGBoost starts its sums from is the C library's, in every bit."""

from __future__ import annotations

import ctypes
import platform

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.models.float_log import float_log


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's logf is what XGBoost calls")
@given(st.floats(2.0**-126, 2.0**127, width=32))
def test_it_is_the_c_librarys(value: float) -> None:
    logf = ctypes.CDLL("libm.so.6").logf
    logf.restype, logf.argtypes = ctypes.c_float, [ctypes.c_float]
    assert float(float_log(np.float32(value))) == logf(value)


def test_it_is_not_always_the_nearest() -> None:
    odds = np.float32(1) / np.float32(4.9202734e-1) - np.float32(1)
    assert float_log(odds) == np.float32(0.031893242)
    assert np.float32(np.log(float(odds))) == np.float32(0.031893246)
