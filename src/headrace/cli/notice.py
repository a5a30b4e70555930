"""`headrace notice`: a notice of adverse action, from the record of a decision."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from headrace.cli.terminal import console
from headrace.lifecycle.notice import html_notice, text_notice
from headrace.runtime.home import Home
from headrace.runtime.journals import Journals
from headrace.runtime.loading import load_case
from headrace.runtime.notices import notice_of


def notice(
    case: str,
    decision: str,
    /,
    *,
    applicant: str | None = None,
    form: Literal["text", "html", "json"] = "text",
    out: Path | None = None,
    home: Path | None = None,
) -> None:
    """Tell an applicant what was decided, and the principal reasons.

    Parameters
    ----------
    case
        A Python file with the use case (FILE.py, or FILE.py:NAME), or a ready-made one.
    decision
        Its id, such as credit-risk/0/123, or the id of the event.
    applicant
        Name and address; how the record knows the person when left out.
    form
        What to write.
    out
        A file to write to; the terminal when left out.
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    made = notice_of(load_case(case), place, Journals(place).decision(decision), applicant)
    if form == "json":
        written = msgspec.json.format(msgspec.json.encode(made)).decode() + "\n"
    else:
        written = html_notice(made) if form == "html" else text_notice(made)
    if out is None:
        console.out(written, end="")
        return
    out.write_text(written, encoding="utf-8")
    console.print(f"wrote {out}")
