"""A real Kafka for whoever asks for it."""

import os
from collections.abc import Iterator

import pytest
from benchmarks.broker import NO_KAFKA
from tests.integration.shared_broker import shared_broker
from tests.session_folder import session_folder


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Kafka that all tests share."""
    if address := os.environ.get("HEADRACE_TEST_KAFKA"):
        yield address
        return
    if not os.environ.get("HEADRACE_KAFKA_BROKER"):
        pytest.skip(NO_KAFKA)
    with shared_broker(session_folder(tmp_path_factory)) as address:
        yield address
