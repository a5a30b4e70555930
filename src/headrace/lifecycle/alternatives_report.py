"""The page of a search for alternatives: the front as a picture and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.errors import NotFound
from headrace.lifecycle import plots
from headrace.lifecycle.impact import FOUR_FIFTHS, LEAST
from headrace.lifecycle.report import KeyFigure, Report, Table

if TYPE_CHECKING:
    from headrace.lifecycle.alternatives import Alternative, Alternatives
    from headrace.lifecycle.drawing import Plot
    from headrace.lifecycle.impact import Impact

_PROTOCOL = (
    "Every model was fitted to the same folds of the same {events:,} events before the cut, of"
    " which {positives:,} are positive, and approves the {approved:.0%} of each fold that it scores"
    " lowest. Protected attributes measured, and were read by no model. The impact ratio is the"
    " lowest rate of approval of a group over the highest; groups of fewer than {least} are left"
    " out. Of many models the best looks better than it is: training measures the chosen one on the"
    " events after the cut, which took no part."
)


def alternatives_report(found: Alternatives) -> Report:
    """The page."""
    front = found.front
    best = max(front, key=lambda one: one.ratio, default=found.declared)
    page = Report(
        f"Alternatives to the model of {found.case}",
        "Models as accurate as the declared one that may weigh less on a protected group.",
        [
            KeyFigure("Tried", f"{len(found.tried):,}", f"{len(front)} on the front"),
            _key("Declared", found.declared),
            _key("Most even", best),
        ],
    )
    said = _PROTOCOL.format(
        events=found.events,
        positives=found.positives,
        approved=found.settings.approved,
        least=LEAST,
    )
    page.add("Accuracy against impact", said, *_plots(found), _table(found))
    page.add(
        "Groups",
        "Approvals by group, of the declared model and of those on the front.",
        *(_groups(found, place) for place in range(len(found.settings.by))),
    )
    return page


def _key(label: str, one: Alternative) -> KeyFigure:
    return KeyFigure(label, f"{one.ratio:.3f}", f"impact ratio, at an AUC of {one.area:.4f}")


def _plots(found: Alternatives) -> tuple[Plot, ...]:
    try:
        return (
            plots.front(
                # what ranks no better than guessing would squeeze all others together
                [one.area if one.area > 0.5 else float("nan") for one in found.tried],
                [one.ratio for one in found.tried],
                [one.number for one in found.front],
                limit=FOUR_FIFTHS,
            ),
        )
    except NotFound:
        return ()


def _table(found: Alternatives) -> Table:
    front = {one.number for one in found.front}
    names = list(found.settings.by)
    return Table(
        "Every model, the declared one first; ± is a standard error",
        (
            "",
            "front",
            "AUC",
            "to the declared",
            *(f"{name}: ratio" for name in names),
            "differs in",
        ),
        tuple(
            (
                str(one.number),
                "yes" if one.number in front else "",
                f"{one.area:.4f}",
                apart_text(one, found.declared),
                *(f"{impact.ratio:.3f} ± {impact.error:.3f}" for impact in one.impacts),
                one.says,
            )
            for one in found.tried
        ),
    )


def apart_text(one: Alternative, declared: Alternative) -> str:
    """The difference in area to the declared model, with its standard error."""
    if one.number == declared.number:
        return "-"
    apart, error = one.over(declared)
    return f"{apart:+.4f} ± {error:.4f}"


def _groups(found: Alternatives, place: int) -> Table:
    shown = {found.declared.number: found.declared, **{one.number: one for one in found.front}}
    first: Impact = found.declared.impacts[place]
    rows = []
    for group in first.groups:
        rates = [
            next(
                f"{other.rate:.1%}"
                for other in one.impacts[place].groups
                if other.name == group.name
            )
            for one in shown.values()
        ]
        rows.append((group.name, f"{group.count:,}", *rates))
    return Table(
        f"Approved, by {first.attribute} and number of the model",
        (first.attribute, "events", *(str(number) for number in shown)),
        tuple(rows),
    )
