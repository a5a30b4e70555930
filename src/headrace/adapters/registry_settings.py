"""Where a schema registry is, and how to speak to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Where a registry is, and how to speak to it.

    Attributes:
        url: Its address; several with commas between them, of which any may answer.
        user: For basic authentication; "" for none.
        password: The same.
        ca: A file of the authorities that its certificate may be signed by; the system's unless
            told.
        certificate: A client's certificate for mutual TLS, its key in the same file.
        timeout_seconds: For one answer.
        patience_seconds: How long to ask again while there is no answer.
    """

    url: str
    user: str = ""
    password: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    timeout_seconds: float = 5.0
    patience_seconds: float = 60.0

    @staticmethod
    def of(told: Mapping[str, str]) -> RegistrySettings:
        """The settings by the names that Confluent's clients have for them.

        Args:
            told: `url`; `basic.auth.user.info` (USER:PASSWORD), `ssl.ca.location` and
                `ssl.certificate.location` (certificate and key in one file) where they are needed.

        Raises:
            DataError: There is no `url`, or a name that means nothing here.

        >>> RegistrySettings.of({"url": "http://r:8081", "basic.auth.user.info": "u:p"}).password
        'p'
        """
        known = ("url", "basic.auth.user.info", "ssl.ca.location", "ssl.certificate.location")
        strange = [name for name in told if name not in known]
        if strange or "url" not in told:
            why = f"{strange[0]!r} means nothing here" if strange else "there is no url"
            raise DataError(f"settings of the schema registry: {why}; expected {', '.join(known)}")
        user, _, password = told.get(known[1], "").partition(":")
        ca, certificate = (Path(told[name]) if name in told else None for name in known[2:])
        return RegistrySettings(told["url"], user, password, ca, certificate)
