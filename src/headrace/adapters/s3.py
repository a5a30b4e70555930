"""Files in an object store that speaks S3: Amazon's, or another at an address of its own.

    s3://BUCKET[/PREFIX][?endpoint=http://HOST:PORT&region=NAME]

Who we are is said where Amazon's tools look for it: in the variables `AWS_ACCESS_KEY_ID` and
`AWS_SECRET_ACCESS_KEY`, in `~/.aws`, or in the role of the machine; never in the address, which is
printed. `AWS_ENDPOINT_URL` and `AWS_REGION` stand for what an address leaves out.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
from pyarrow import fs

from headrace.adapters.file_store import S3, StoredFile, checked_name, draft_of
from headrace.core.errors import DataError, NotFound, SecurityError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SETTINGS = ("endpoint", "region")
_CONNECT_SECONDS, _ANSWER_SECONDS = 5, 60
_FETCHED_BYTES = 32 << 20
#: How often a file is fetched again that was put anew meanwhile.
_FETCHES = 5
#: What the client says where it is not let in.
_REFUSED = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "EXPIRED_TOKEN",
    "MISSING_AUTHENTICATION_TOKEN",
    "UNRECOGNIZED_CLIENT",
    "HTTP status 401",
    "HTTP status 403",
)


@dataclass(frozen=True, slots=True)
class S3Store:
    """Files under a prefix of a bucket; see `headrace.adapters.file_store.FileStore`.

    Attributes:
        bucket: Its name; it must be there.
        prefix: What all names there begin with; "" for the whole bucket.
        place: The address, without its settings.
    """

    bucket: str
    prefix: str
    place: str
    _client: fs.S3FileSystem = field(repr=False)

    @staticmethod
    def at(address: str) -> S3Store:
        """The store that an address names.

        Raises:
            DataError: It names none, or has a setting that means nothing.
        """
        parts = urlsplit(address)
        settings = dict(parse_qsl(parts.query, keep_blank_values=True))
        prefix = parts.path.strip("/")
        strange = [name for name in settings if name not in _SETTINGS]
        if not address.startswith(S3) or not parts.hostname or parts.netloc != parts.hostname:
            raise DataError(
                f"{S3}{parts.netloc.rpartition('@')[2]}{parts.path}: expected"
                " s3://BUCKET/PREFIX, in lower case; keys and passwords belong into"
                " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if strange:
            raise DataError(f"{address}: {strange[0]!r} means nothing here; expected endpoint=URL")
        if prefix:
            checked_name(prefix)
        place = f"{S3}{parts.netloc}" + (f"/{prefix}" if prefix else "")
        return S3Store(parts.netloc, prefix, place, _client(address, settings))

    def put(self, name: str, content: Path | bytes, size: int | None = None) -> None:
        """Keep a file, or its beginning; an object is there once all of it is.

        Ctrl-C reaches the main thread alone, so another one sends, and is waited for: were sending
        interrupted, the client would close the object, and what it had by then would be there.
        """
        with ThreadPoolExecutor(1, "headrace-put") as thread:
            thread.submit(self._send, name, content, size).result()

    def _send(self, name: str, content: Path | bytes, size: int | None) -> None:
        with self._told(f"putting {name}"):
            source = pa.py_buffer(content) if isinstance(content, bytes) else _mapped(content)
            with self._client.open_output_stream(self._key(name)) as stream:
                stream.write(source if size is None else source.slice(0, size))

    def files(self, under: str = "") -> list[StoredFile]:
        """See `FileStore`."""
        folder = "/".join(part for part in (self.bucket, self.prefix, under) if part)
        chosen = fs.FileSelector(folder, recursive=True, allow_not_found=True)
        with self._told("listing"):
            found = self._client.get_file_info(chosen)
        skipped = len(f"{self.bucket}/{self.prefix}/" if self.prefix else f"{self.bucket}/")
        files = [item for item in found if item.type == fs.FileType.File]
        return sorted(StoredFile(item.path[skipped:], item.size) for item in files)

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """See `FileStore`."""
        with self._told(f"reading {name}"), self._client.open_input_file(self._key(name)) as file:
            length = max(0, file.size() - start) if size is None else size
            read: bytes = file.read_at(length, start) if length else b""
            return read

    def fetch(self, name: str, path: Path) -> None:
        """See `FileStore`."""
        for _ in range(_FETCHES):
            with suppress(_Changed), draft_of(path) as file:
                self._copy(name, file)
                return
        raise Unavailable(
            f"{self.place}/{name} was put anew {_FETCHES} times while it was fetched; try again"
        )

    def _copy(self, name: str, out: BinaryIO) -> None:
        """Copy an object to an open file.

        Raises:
            _Changed: It was put anew meanwhile.
        """
        with self._told(f"fetching {name}"), self._client.open_input_file(self._key(name)) as file:
            tag, size = file.metadata()["ETag"], file.size()
            starts = range(0, size, _FETCHED_BYTES)
            out.writelines(file.read_at(min(_FETCHED_BYTES, size - at), at) for at in starts)
            with self._client.open_input_file(self._key(name)) as now:
                if now.metadata()["ETag"] != tag or out.tell() != size:
                    raise _Changed

    def delete(self, name: str) -> None:
        """See `FileStore`."""
        with suppress(NotFound), self._told(f"deleting {name}"):
            self._client.delete_file(self._key(name))

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self.bucket, self.prefix, checked_name(name)) if part)

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """Say what an error of the client means."""
        try:
            yield
        except OSError as error:
            said = str(error)
            if "NO_SUCH_BUCKET" in said:
                raise NotFound(
                    f"{self.place}: there is no bucket {self.bucket!r}; make it, or check the name"
                ) from error
            if isinstance(error, FileNotFoundError) and error.filename is None:
                raise NotFound(f"{self.place}: no such file ({doing})") from error
            if any(word in said for word in _REFUSED):
                raise SecurityError(
                    f"{self.place} does not let us in ({doing}): {said}. Check AWS_ACCESS_KEY_ID,"
                    " AWS_SECRET_ACCESS_KEY or the role, and what it may do in the bucket"
                ) from error
            if "AWS Error" in said or "AWS error" in said:
                raise Unavailable(
                    f"{self.place} did not do it ({doing}): {said}. Nothing was lost: check the"
                    " endpoint and the network, and run again"
                ) from error
            raise


class _Changed(Exception):
    """An object was put anew while it was read."""


def _mapped(path: Path) -> pa.Buffer:
    """The bytes of a file, read as they are sent."""
    if path.stat().st_size == 0:
        return pa.py_buffer(b"")
    with pa.memory_map(str(path)) as file:
        return file.read_buffer()


def _client(address: str, settings: dict[str, str]) -> fs.S3FileSystem:
    found = settings.get("endpoint") or _first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    region = settings.get("region") or _first("AWS_REGION", "AWS_DEFAULT_REGION")
    endpoint = urlsplit(found)
    if found and (endpoint.scheme not in ("http", "https") or not endpoint.netloc):
        raise DataError(f"{address}: the endpoint {found!r} is none; expected http://HOST:PORT")
    return fs.S3FileSystem(
        endpoint_override=endpoint.netloc or None,
        scheme=endpoint.scheme or "https",
        # another store than Amazon's has no regions, and none is to be looked for
        region=region or ("us-east-1" if found else None),
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_ANSWER_SECONDS,
        # what is sent behind is copied first, all of it
        background_writes=False,
    )


def _first(*names: str) -> str:
    """The first of these variables that is set."""
    return next((os.environ[name] for name in names if os.environ.get(name)), "")
