"""`headrace access`: the API keys of a service."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.table import Table

from headrace.cli.terminal import console
from headrace.runtime.home import Home
from headrace.security.api_keys import ApiKeys, Role

app = App(name="access", help="Make, list and remove the API keys of a service.")


@app.command
def add(
    name: str,
    /,
    *,
    role: Annotated[tuple[Role, ...], Parameter(negative="")] = (),
    home: Path | None = None,
) -> None:
    """Make a key, and show it this once.

    Parameters
    ----------
    name
        Whose it is to be.
    role
        What it may do: decide (ask for decisions), feed (bring in other events), read (decisions,
        explanations, proofs), observe (metrics). May be given several times.
    home
        The folder of journal, models, vault and keys.
    """
    console.out(ApiKeys(Home.at(home).api_keys).add(name, role))


@app.command(name="list")
def list_keys(*, home: Path | None = None) -> None:
    """Show whose keys there are, and what they may do.

    Parameters
    ----------
    home
        The folder of journal, models, vault and keys.
    """
    table = Table("name", "roles", "made")
    for key in ApiKeys(Home.at(home).api_keys).all():
        made = datetime.fromtimestamp(key.made_ns / 1e9, UTC)
        table.add_row(key.name, ", ".join(key.roles), f"{made:%Y-%m-%d %H:%M} UTC")
    console.print(table)


@app.command
def remove(name: str, /, *, home: Path | None = None) -> None:
    """Remove a key: no running service takes it any more.

    Parameters
    ----------
    name
        Whose it was.
    home
        The folder of journal, models, vault and keys.
    """
    ApiKeys(Home.at(home).api_keys).remove(name)
    console.print(f"removed the key of {name}")
