"""How tests draw examples, and are dealt out to processes (`pytest -n 4 --dist loadscope`)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

# Processes of tests share the cores: threads of libraries that fit models would spin while they
# wait for each other. It is read when such a library is loaded, here and in commands that tests
# start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Brokers live for moments: code that is compiled once, and fast, costs them half the processor.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")

# The same examples each time, however busy the machine is: a change breaks a test, or does not.
# `--hypothesis-profile=explore` draws others, and many more of them where a test does not say.
_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=_SLOW)
settings.register_profile(
    "explore", settings.get_profile("same"), derandomize=False, max_examples=500
)
settings.load_profile("same")

#: Files whose tests share what takes long to make, by what it is: a process takes all of those.
TOGETHER = {
    "tests/chaos/test_run_is_killed.py": "killed runs",
    "tests/integration/deploy/test_container.py": "image",
    "tests/integration/test_benchmarks.py": "benchmarks",
    "tests/integration/test_credit_decisions.py": "credit",
    "tests/integration/test_demo.py": "demo",
    "tests/integration/test_handbook.py": "handbook",
    "tests/parity/test_processors.py": "image",
}
#: The tests here wait more than they work: for a broker, a group, a session to end.
WAITING = "tests/integration/kafka/"
#: Those of them that take a minute: they begin first, so that none is waited for in the end.
LONG = ("/test_workers.py", "/test_faults.py", "/test_killed.py", "/test_stages.py")


class OneByOne(LoadScopeScheduling):  # type: ignore[misc]  # not typed
    """Each test goes to the process that is free next, but for files that are kept together.

    Tests that wait are dealt out by turns with those that work, so that others use the processor
    meanwhile; the longest of them first.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        self._waits = False

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", maxsplit=1)[0]
        return TOGETHER.get(file, nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        self._waits = not self._waits
        turn = [scope for scope in self.workqueue if scope.startswith(WAITING) == self._waits]
        long = [scope for scope in turn if any(name in scope for name in LONG)]
        for scope in (long or turn)[:1]:
            self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneByOne | None:
    """The scheduler for `--dist loadscope`; of other ways, their own."""
    return OneByOne(config, log) if config.getvalue("dist") == "loadscope" else None
