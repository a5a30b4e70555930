"""Settings of a schema registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace.adapters.registry_settings import RegistrySettings
from headrace.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


def test_settings_by_the_names_of_other_clients(tmp_path: Path) -> None:
    found = RegistrySettings.of({"url": "https://r", "ssl.ca.location": str(tmp_path)})
    assert found == RegistrySettings("https://r", ca=tmp_path)
    for told in ({}, {"url": "https://r", "ssl.key.location": "k"}):
        with pytest.raises(DataError, match=r"expected url, basic.auth.user.info"):
            RegistrySettings.of(told)
