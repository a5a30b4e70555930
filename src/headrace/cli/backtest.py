"""`headrace backtest`: what a change would have changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table

from headrace.cli.terminal import aside, console, stages
from headrace.core.errors import DefinitionError
from headrace.core.out_files import out_file
from headrace.lifecycle.backtest import backtest as run_backtest
from headrace.pipeline.lane import Lane
from headrace.runtime.backtesting import backtest_report, history_of
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case, load_policy
from headrace.runtime.models import model_of

if TYPE_CHECKING:
    from headrace.lifecycle.backtest import Backtest


def backtest(
    case: str,
    /,
    *,
    policy: str | None = None,
    model: str | None = None,
    history: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    amount: str | None = None,
    report: Path | None = None,
    home: Path | None = None,
) -> None:
    """Decide history twice, as it is and with a change, and show what would have changed.

    Parameters
    ----------
    case
        A Python file with the use case (FILE.py, or FILE.py:NAME), or a ready-made one.
    policy
        A Python file with the new policy, or with a use case whose policy is taken.
    model
        The id of the new model.
    history
        FILE of the decided stream, or STREAM=FILE; what the journal holds when it is left out.
    amount
        The feature that says what an event is worth.
    report
        Write an HTML page with the threshold-versus-money plot here.
    home
        The folder of journal, models, vault and keys.
    """
    if policy is None and model is None:
        raise DefinitionError("nothing is changed", fix="name --policy FILE.py or --model ID")
    if report is not None:
        out_file(report)
    place = Home.at(home)
    use_case = load_case(case)
    served = model_of(use_case, place)
    changed = model_of(use_case, place, model) if model else served
    new_policy = load_policy(policy) if policy else None
    with stages() as stage:
        found = run_backtest(
            Lane(use_case.definition(served), (0, 0)),
            use_case.definition(changed, new_policy),
            use_case.label,
            history_of(use_case, place, history, stage),
            amount=amount,
        )
    _show(found)
    if report is not None:
        backtest_report(found, use_case.name).write(report)
        aside.print(f"wrote {report}")


def _show(found: Backtest) -> None:
    table = Table("", "as it is", "changed", title=f"{found.events:,} events, decided twice")
    for name in dict.fromkeys([*found.before.outcomes, *found.after.outcomes]):
        old, new = found.before.counts.get(name, 0), found.after.counts.get(name, 0)
        if old or new:
            table.add_row(name, f"{old:,}", f"{new:,}")
            if found.before.money:
                was, now = found.before.money.get(name, 0.0), found.after.money.get(name, 0.0)
                table.add_row(f"  {found.amount_feature}", f"{was:,.2f}", f"{now:,.2f}")
    for name in ("precision", "recall"):
        table.add_row(
            name, *(_percent(getattr(side, name)) for side in (found.before, found.after))
        )
    console.print(table)
    if found.moved:
        moves = Table("from", "to", "events", found.amount_feature or "", title="What moved")
        for (old_name, new_name), count in found.moved.items():
            worth = found.moved_money.get((old_name, new_name))
            moves.add_row(
                old_name, new_name, f"{count:,}", "" if worth is None else f"{worth:,.2f}"
            )
        console.print(moves)
    else:
        console.print("No event would have been decided otherwise.")
    reasons = Table(
        "raised the score most", "as it is", "changed", title="Why events were acted on"
    )
    for name in dict.fromkeys([*found.before.reasons, *found.after.reasons]):
        reasons.add_row(
            name,
            f"{found.before.reasons.get(name, 0):,}",
            f"{found.after.reasons.get(name, 0):,}",
        )
    if reasons.row_count:
        console.print(reasons)


def _percent(share: float) -> str:
    return "not known" if share != share else f"{share:.1%}"  # noqa: PLR0124 - NaN is not itself
