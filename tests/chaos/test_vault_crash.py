"""A vault whose process is killed keeps every surrogate that it committed."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from headrace.core.columns import Text
from headrace.security.keys import LocalMasterKey
from headrace.security.vault import Vault

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import sys
from pathlib import Path
from headrace.core.columns import Text
from headrace.security.keys import LocalMasterKey
from headrace.security.vault import Vault

vault = Vault.open(Path(sys.argv[1]), LocalMasterKey(b"k" * 32))
step = 0
while True:
    values = [f"{sys.argv[2]}-{step}-{row}" for row in range(50)]
    names = vault.surrogates("card", Text.of(values)).strings()
    vault.commit()
    for value, name in zip(values, names):
        sys.stdout.write(f"{value} {name}\\n")
    sys.stdout.flush()
    # drawn, never committed: may be lost
    vault.surrogates("card", Text.of([f"lost-{sys.argv[2]}-{step}"]))
    step += 1
"""


@pytest.mark.slow
def test_killed_at_any_moment_no_committed_surrogate_is_lost(tmp_path: Path) -> None:
    told: dict[str, str] = {}
    for life, lines in enumerate((1, 120, 1_000)):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(life)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        seen += [line for line in process.stdout if line.endswith("\n")]
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        told.update(dict(line.split() for line in seen))
    vault = Vault.open(tmp_path, LocalMasterKey(b"k" * 32))
    assert len(told) >= 1_100
    names = vault.surrogates("card", Text.of(list(told))).strings()
    assert names == list(told.values())
    for value in list(told)[::97]:
        assert vault.reveal(told[value]) == value
    vault.close()
