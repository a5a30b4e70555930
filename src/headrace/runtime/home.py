"""The home of a working copy: one folder for journal, snapshots, models, vault and keys.

<home>/
journal/<use case>/<lane>/      segments of a lane's journal, and a lock
index/<use case>/<lane>/        where decisions are in a journal: made anew when it is missing
snapshots/<use case>/<lane>/    states, each named by the sequence number it stands before
models/                         artefacts, and which one each use case runs
vault/                          surrogates and what they stand for, encrypted
keys/                           the signing key and the master key, readable by the owner alone
witness/                        checkpoints, where no other place for them is named
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
    '/tmp/x/journal/card-fraud/0'
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

    @property
    def journals(self) -> Path:
        """The folder of all journals."""
        return self.folder / "journal"

    def use_cases(self) -> list[str]:
        """The use cases that have a journal here."""
        return sorted(path.name for path in self.journals.glob("*") if self.lanes(path.name))

    def lanes(self, use_case: str) -> list[int]:
        """The lanes of a use case that have a journal here."""
        folders = (self.journals / use_case).glob("*")
        return sorted(int(path.name) for path in folders if path.is_dir() and path.name.isdecimal())

    def journal(self, use_case: str, lane: int = 0) -> Path:
        """The folder of a lane's journal; on one machine a use case has one lane, number 0."""
        return self.journals / use_case / str(lane)

    def index(self, use_case: str, lane: int = 0) -> Path:
        """The folder of the index of a lane's journal."""
        return self.folder / "index" / use_case / str(lane)

    def snapshots(self, use_case: str, lane: int = 0) -> Path:
        """The folder of a lane's snapshots."""
        return self.folder / "snapshots" / use_case / str(lane)

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
