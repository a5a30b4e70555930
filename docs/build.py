"""Build the documentation: `python -m docs.build` writes static pages into `site/`.

The page of commands is written anew from their help; reference pages are made from docstrings. The
build ends with an error on a broken link, a missing anchor or a name that does not exist.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from docs import commands

DOCS = Path(__file__).resolve().parent


def build(site: Path) -> int:
    """Build the pages into `site`, which is replaced; the exit status of the builder."""
    with tempfile.TemporaryDirectory() as folder:
        # a copy, so that the builder's cache and the scripts beside the pages stay out of the site
        shutil.copytree(
            DOCS,
            Path(folder) / "docs",
            ignore=shutil.ignore_patterns("*.py", "*.toml", "__pycache__"),
        )
        shutil.copy(DOCS / "zensical.toml", folder)
        done = subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--strict"],
            cwd=folder,
            # `docs.doctests` is found from the working copy
            env={**os.environ, "PYTHONPATH": str(DOCS.parent)},
            check=False,
        )
        if done.returncode == 0:
            shutil.rmtree(site, ignore_errors=True)
            shutil.copytree(Path(folder) / "site", site)
    return done.returncode


def main() -> int:
    """Read the arguments and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", type=Path, default=DOCS.parent / "site")
    site = parser.parse_args().site
    commands.write()
    return build(site)


if __name__ == "__main__":
    sys.exit(main())
