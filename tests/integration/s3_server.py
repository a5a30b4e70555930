"""A server that speaks S3, in a process of its own on the loopback interface (moto)."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.ports import free_port
from pyarrow import fs

#: What clients say who they are.
IDENTITY = {"AWS_ACCESS_KEY_ID": "headrace", "AWS_SECRET_ACCESS_KEY": "secret"}
_READY_SECONDS = 180


@dataclass
class S3Server:
    """A server; what it holds is gone when it ends.

    Attributes:
        settings: Variables of its process.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.settings},
        )
        end = time.monotonic() + _READY_SECONDS
        while not self._answers():
            assert time.monotonic() < end, "the S3 server did not start"
            assert self.process.poll() is None, "the S3 server ended"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=2):  # noqa: S310 - http
                return True
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(60)
            self.process = None

    def bucket(self, name: str) -> str:
        """Make a bucket; its address."""
        self.client().create_dir(name)
        return f"s3://{name}?endpoint={self.url}"

    def client(self) -> fs.S3FileSystem:
        """A client of the library that Headrace uses, beside Headrace."""
        return fs.S3FileSystem(
            access_key=IDENTITY["AWS_ACCESS_KEY_ID"],
            secret_key=IDENTITY["AWS_SECRET_ACCESS_KEY"],
            endpoint_override=f"127.0.0.1:{self.port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )


@contextmanager
def s3_server(**settings: str) -> Iterator[S3Server]:
    server = S3Server(settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
