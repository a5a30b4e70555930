"""Sections of a report: one decision in full, what the applicant is told, its proof, the model."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING

from headrace.lifecycle.notice import notice_parts
from headrace.lifecycle.report import DecisionExplained, ProofChecked, Reason, Report, Table

if TYPE_CHECKING:
    from headrace.models.artefact import Manifest
    from headrace.runtime.demo import DemoFolder, Evidence


def add_evidence(page: Report, evidence: Evidence, place: DemoFolder, positive: str) -> None:
    """Add one decision in full, its notice if it has one, and its proof.

    Args:
        page: The report.
        evidence: Of the decision.
        place: Where it was gathered.
        positive: What the label says of an event, such as fraud.
    """
    told = evidence.explanation
    rules = sorted(told.rules.items(), key=lambda item: item[0] != told.rule)
    of = f" (what raised the score of {told.explains})" if told.explains else ""
    turned_out = f"It turned out to be a {positive}." if evidence.positive else ""
    page.add(
        "One decision explained",
        f"Why a decision was made: rules, reasons{of}, values. Personal data stand as surrogates. "
        + turned_out,
        DecisionExplained(
            told.id,
            told.outcome,
            told.score,
            tuple(f"{name}: {words}" for name, words in rules),
            tuple(Reason(item.text, item.contribution) for item in told.reasons),
            tuple((name, _fact(value)) for name, value in told.event.items()),
        ),
    )
    if evidence.notice is not None:
        page.add(
            "What the applicant is told",
            "The notice of adverse action that headrace notice writes for this decision.",
            Table(
                "The notice",
                ("part", "words"),
                tuple(
                    (
                        part.title,
                        " ".join(
                            f"{number}. {line}" if part.numbered else line
                            for number, line in enumerate(part.lines, 1)
                        ),
                    )
                    for part in notice_parts(evidence.notice)
                ),
            ),
        )
    _proof(page, evidence, place)


def _proof(page: Report, evidence: Evidence, place: DemoFolder) -> None:
    replayed = evidence.replayed
    page.add(
        "Its proof, verified",
        "The proof is a small file. The verifier is one Python script that imports nothing of "
        "Headrace; it ran by itself, on the proof and the public key alone.",
        ProofChecked(
            evidence.verified,
            "The record, its place in the tree of its batch, the chain up to the signed head, "
            "the signature, and the witness's checkpoint all hold."
            if evidence.verified
            else evidence.said,
            (
                ("proof", str(place.proof)),
                ("verifier", str(place.verifier)),
                ("public key", str(place.public_key)),
                ("head", evidence.journal.head.hex()),
            ),
        ),
        Table(
            "The whole journal",
            ("check", "found"),
            (
                (
                    "every record hashed again, every link and signature",
                    "good" if evidence.journal.good else str(evidence.journal.fault),
                ),
                (
                    "held against the witness's checkpoint",
                    "agrees" if evidence.journal.checkpoint else "does not agree",
                ),
                (
                    "decisions rebuilt from the recorded inputs alone",
                    f"{replayed.decisions:,} come out byte for byte"
                    if replayed.difference is None
                    else str(replayed.difference),
                ),
                ("records", f"{evidence.journal.records:,}"),
                (
                    "bytes for each record",
                    f"{evidence.journal_bytes / max(1, evidence.journal.records):,.0f}",
                ),
            ),
        ),
    )


def _fact(value: object) -> str:
    """A field of an event as people read it."""
    if isinstance(value, Decimal):
        # an exact amount keeps two digits, and no zeros after them
        return str(value.quantize(Decimal("0.01"))) if value == round(value, 2) else str(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    return "missing" if value is None else str(value)


def add_model(page: Report, manifest: Manifest, model_id: str) -> None:
    """Add what the model's manifest says of it."""
    rows: list[tuple[str, str]] = [("model", model_id), ("trees", str(manifest.trees))]
    for what, facts in (
        ("data", manifest.data),
        ("label", manifest.label),
        ("split", manifest.split),
        ("on the test part", manifest.metrics),
        ("settings", manifest.specification),
        ("with", manifest.libraries),
    ):
        rows += [(f"{what}: {name}", _shown(value)) for name, value in facts.items()]
    rows += [("arrival of events", manifest.arrival), ("definition", manifest.definition)]
    page.add(
        "The model",
        "From its model card, which lies beside the model file.",
        Table("Facts", ("fact", "value"), tuple(rows)),
    )


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value is None or value == {} else str(value)
