"""Machine code that is read from a cache and never added to it.

An image holds all code of its version, and its files cannot be written when it runs. The compiler
refuses a cache that it cannot write to; this one only reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache

if TYPE_CHECKING:
    from collections.abc import Callable

#: The compiler's way to find code in a folder that is named to it.
_Named: Any = CompileResultCacheImpl._locator_classes[0]  # noqa: SLF001 - its name differs by version


class _Locator(_Named):  # type: ignore[misc]  # its class is found by running
    """Where code lies in a folder that need not be writable."""

    def ensure_cache_path(self) -> None:
        """Try nothing: whether the folder is there shows when code is read."""


class _Code(CompileResultCacheImpl):
    """How code is kept: as ever, in a folder found by `_Locator`."""

    _locator_classes = [_Locator]  # noqa: RUF012 - as the compiler has it


class ReadOnlyCache(FunctionCache):
    """The cached code of one function. What is not in it is compiled for this process alone."""

    _impl_class = _Code

    def save_overload(self, sig: object, data: object) -> None:
        """Keep nothing."""


def only_read(compiled: Any, function: Callable[..., Any]) -> None:
    """Let a compiled function take its code from the folder that `config.CACHE_DIR` names.

    Args:
        compiled: What the compiler made of it, with no cache.
        function: The function itself, which stands in a file.
    """
    cache: Any = ReadOnlyCache
    compiled._cache = cache(function)  # noqa: SLF001 - there is no other way in
