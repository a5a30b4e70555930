"""Calls of public names: arguments that are missing or unknown are definition errors."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from headrace.core.errors import DefinitionError
from headrace.definitions.source_lines import user_line
from headrace.definitions.suggestions import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Class = TypeVar("Class", bound=type)

_LONGEST = 72


def checked(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function, with a `DefinitionError` on the user's line where Python gives a `TypeError`.

    >>> @checked
    ... def halve(length: int) -> float:
    ...     return length / 2
    >>> try:
    ...     halve(lenght=5)
    ... except DefinitionError as error:
    ...     print(str(error).partition(": ")[2])
    halve() has no lenght=; did you mean 'length'?
      fix: call it as halve(length)
    """

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                raise  # it comes from inside the function, not from how it was called
            signature = inspect.signature(function)
            name = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
            raise DefinitionError(
                f"{name}() {_wrong(signature, args, kwargs)}",
                at=user_line(),
                fix=f"call it as {name}({_spoken(signature)})",
            ) from None

    return call


def checked_methods(cls: Class) -> Class:
    """The class, with its constructor and its public methods `checked`."""
    for name, value in vars(cls).items():
        if inspect.isfunction(value) and (name == "__init__" or not name.startswith("_")):
            setattr(cls, name, checked(value))
    return cls


def shown(value: object) -> str:
    """A value in a message: on one line, and only how it begins where it is long.

    >>> shown("x"), shown(list(range(100)))[-12:]
    ("'x'", '18, 19, 2...')
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _wrong(signature: inspect.Signature, args: tuple[Any, ...], given: dict[str, Any]) -> str:
    takes = signature.parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values()):
        for name in given:
            if name not in takes:
                return f"has no {name}={did_you_mean(name, takes)}"
    try:
        signature.bind(*args, **given)
    except TypeError as error:
        return f"was called wrongly: {error}"
    return "was called wrongly"


def _spoken(signature: inspect.Signature) -> str:
    """The parameters as a user writes them: those that may be left out as `name=...`."""
    written = []
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            written.append("...")
        elif parameter.kind is parameter.KEYWORD_ONLY or parameter.default is not parameter.empty:
            written.append(f"{parameter.name}=...")
        elif parameter.kind is not parameter.VAR_KEYWORD:
            written.append(parameter.name)
    return ", ".join(written)
