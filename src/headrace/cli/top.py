"""`headrace top`: watch a service as it runs."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.live import Live

from headrace.cli.terminal import console
from headrace.core.errors import DataError, SecurityError

if TYPE_CHECKING:
    from headrace.adapters.metrics_reading import Reading

#: Where `headrace serve` listens unless it is told otherwise.
_LOCAL = "http://127.0.0.1:8080"
_TIMEOUT_SECONDS = 5.0


def top(
    url: str = _LOCAL,
    /,
    *,
    every: float = 1.0,
    key: str | None = None,
    once: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Watch a service as it runs: rate, latency, queue, outcomes, quarantine, state.

    Parameters
    ----------
    url
        The address of the service.
    every
        Seconds between two readings.
    key
        An API key with the role `observe`; without it, that in HEADRACE_API_KEY.
    once
        Show one view, of all that there was since the service started, and end.
    """
    try:
        from headrace.cli.top_view import TopView  # noqa: PLC0415 - an extra reads pages of metrics
    except ImportError as error:
        raise DataError(
            "headrace top needs the extra `serve`; install it: pip install 'headrace[serve]'"
        ) from error
    if not every > 0:
        raise DataError(f"--every {every} is no time between readings; name seconds above 0")
    address = _address(url)
    view = TopView(address)
    key = key or os.environ.get("HEADRACE_API_KEY")
    view.add(_read(address, key), time.time())
    if once:
        console.print(view.panel())
        return
    with Live(view.panel(), console=console, auto_refresh=False, screen=True) as live:
        try:
            while True:
                time.sleep(every)
                try:
                    view.add(_read(address, key), time.time())
                except DataError as error:
                    view.lost(str(error))
                live.update(view.panel(), refresh=True)
        except KeyboardInterrupt:
            return


def _address(url: str) -> str:
    """The address of a service, as it was named."""
    address = url if "://" in url else f"http://{url}"
    if not address.startswith(("http://", "https://")):
        raise DataError(f"{url!r} is no address of a service; name one as in {_LOCAL}")
    return address.rstrip("/").removesuffix("/metrics")


def _read(address: str, key: str | None) -> Reading:
    """The metrics of a service.

    Raises:
        DataError: There is no answer, or it is none of a service.
        SecurityError: The key may not read them.
    """
    from headrace.adapters.metrics_reading import Reading  # noqa: PLC0415 - an extra

    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        request = urllib.request.Request(f"{address}/metrics", headers=headers)  # noqa: S310 - checked to be http
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - the same
            return Reading.of(answer.read().decode())
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            raise SecurityError(
                f"{address} shows its metrics to keys of the role `observe` alone; name one with"
                " --key, or in HEADRACE_API_KEY (headrace access add NAME --role observe)"
            ) from error
        raise DataError(
            f"{address}/metrics answers {error.code}; is that a headrace service?"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{address} does not answer ({reason}); is headrace serve running there?"
        ) from error
