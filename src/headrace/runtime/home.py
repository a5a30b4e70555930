"""The home of a working copy: one folder for journal, snapshots, models, vault and keys.

<home>/
journal/<use case>/       segments of the lane's journal, and a lock
index/<use case>/         where decisions are in the journal: derived, made anew when it is missing
snapshots/<use case>/     states, each named by the sequence number it stands before
models/                   artefacts, and which one each use case runs
vault/                    surrogates and what they stand for, encrypted
keys/                     the signing key and the master key, readable by the owner alone
witness/                  checkpoints, where no other place for them is named
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from headrace.core.errors import DataError

#: Where a home lies unless `--home` or `HEADRACE_HOME` says otherwise.
DEFAULT_HOME = Path(".headrace")


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of a home; they are made when first written to.

    >>> Home(Path("/tmp/x")).journal("card-fraud").as_posix()
    '/tmp/x/journal/card-fraud'
    """

    folder: Path

    @staticmethod
    def at(folder: str | Path | None = None) -> Home:
        """The home that is named: by `folder`, else by `HEADRACE_HOME`, else `.headrace` here.

        Raises:
            DataError: When a file stands where the folder should be.
        """
        named = folder or os.environ.get("HEADRACE_HOME") or DEFAULT_HOME
        home = Path(named).expanduser()
        if home.exists() and not home.is_dir():
            raise DataError(f"the home {home} is a file; name a folder (--home, HEADRACE_HOME)")
        return Home(home)

    def journal(self, use_case: str) -> Path:
        """The folder of a use case's journal."""
        return self.folder / "journal" / use_case

    def index(self, use_case: str) -> Path:
        """The folder of the index of a use case's journal."""
        return self.folder / "index" / use_case

    def snapshots(self, use_case: str) -> Path:
        """The folder of a use case's snapshots."""
        return self.folder / "snapshots" / use_case

    @property
    def definitions(self) -> Path:
        """The folder of plans and policies that were ever in force."""
        return self.folder / "definitions"

    @property
    def models(self) -> Path:
        """The folder of artefacts."""
        return self.folder / "models"

    @property
    def vault(self) -> Path:
        """The folder of the vault."""
        return self.folder / "vault"

    @property
    def keys(self) -> Path:
        """The folder of keys."""
        return self.folder / "keys"

    @property
    def api_keys(self) -> Path:
        """The file that says who may ask a service for what."""
        return self.keys / "api-keys.json"

    @property
    def witness(self) -> Path:
        """The file that checkpoints are written to unless another is named."""
        return self.folder / "witness" / "checkpoints.jsonl"
