"""A server that speaks S3, and stores on it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.integration.s3_server import IDENTITY, S3Server, s3_server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A server that tests share."""
    with s3_server() as server:
        yield server


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who we are, for clients in this process and in commands."""
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)
