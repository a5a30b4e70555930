"""The stub of a schema registry in a process of its own, which can be killed and started again.

It answers as Confluent's interface documents it, over real sockets; it is no registry: what it
holds is a file, and it judges nothing of compatibility.
"""

import json
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from benchmarks.ports import free_port  # noqa: E402 - its folder is known now

SERVE = """
import json, sys, threading
sys.path[:0] = sys.argv[1:3]
from registry_stub import RegistryStub, serving
with serving(RegistryStub(), port=int(sys.argv[3])) as stub:
    for form, text in json.load(open(sys.argv[4])):
        stub.add(form, text)
    threading.Event().wait()
"""


@dataclass
class RegistryProcess:
    """A registry with some schemas, whose ids are 1, 2, ..."""

    folder: Path
    schemas: list[tuple[str, str]] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        held = self.folder / "schemas.json"
        held.write_text(json.dumps(self.schemas))
        stub = ROOT / "tests" / "unit" / "adapters"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(stub), str(ROOT), str(self.port), str(held)],
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with (
                suppress(OSError),
                urllib.request.urlopen(  # noqa: S310 - http
                    f"{self.url}/schemas/ids/1", timeout=2
                ),
            ):
                return
            time.sleep(0.05)
        raise AssertionError("the registry did not start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(60)
            self.process = None
