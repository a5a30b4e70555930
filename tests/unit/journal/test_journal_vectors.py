"""The published vectors, by the product and by the plain implementation of the specification."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import plain_journal  # type: ignore[import-not-found]  # on the path above

from headrace.core.columns import Batch, Column, Fixed, Text
from headrace.core.sha256 import leaves_of, merkle_root
from headrace.journal.batch import Decisions, Inputs, JournalBatch, Quarantined
from headrace.journal.canonical import RecordWriter, records
from headrace.journal.frames import GENESIS, BatchHeader, SignedHead
from headrace.journal.header import JournalHeader
from headrace.journal.keys import PublicKey, SigningKey

VECTORS = json.loads(
    (Path(__file__).parents[2] / "golden" / "journal" / "vectors.json").read_text()
)
HEADER = JournalHeader.decoded(VECTORS["header"].encode())
RECORDS: list[dict[str, Any]] = VECTORS["records"]


def test_the_header_is_read_and_written_the_same() -> None:
    assert HEADER.encoded().decode() == VECTORS["header"]
    assert HEADER.digest().hex() == VECTORS["batch"]["header"]


@pytest.mark.parametrize("plain", RECORDS, ids=lambda plain: str(plain["seq"]))
def test_plain_python_gives_the_vectors(plain: dict[str, Any]) -> None:
    canonical = plain_journal.record(plain, VECTORS["schemas"])
    assert canonical.hex() == plain["canonical"]
    digest = plain_journal.sha(canonical)
    assert digest.hex() == plain["digest"]
    assert plain_journal.leaf(digest, plain["read_ns"]).hex() == plain["leaf"]


def test_plain_python_gives_root_and_head() -> None:
    leaves = [bytes.fromhex(plain["leaf"]) for plain in RECORDS]
    assert plain_journal.root(leaves).hex() == VECTORS["root"] == VECTORS["batch"]["root"]
    assert plain_journal.head(VECTORS["batch"]).hex() == VECTORS["signed"]["head"]


def _column(kind: int, values: list[Any]) -> Column:
    if kind == plain_journal.TEXT:
        return Text.of(values)
    if kind == plain_journal.FLOAT:
        floats = np.array([0.0 if value is None else float.fromhex(value) for value in values])
        return Fixed(
            floats.view(np.int64), np.array([value is not None for value in values], np.uint8)
        )
    return Fixed.of(values)


def _batch() -> JournalBatch:
    rows = [-1] * len(RECORDS)
    events = {}
    for rank, stream in enumerate(HEADER.streams):
        typed = [
            i
            for i, plain in enumerate(RECORDS)
            if plain["stream"] == rank and plain["event"] is not None
        ]
        for row, i in enumerate(typed):
            rows[i] = row
        columns = {
            field.name: _column(int(field.kind), [RECORDS[i]["event"][place] for i in typed])
            for place, field in enumerate(stream.schema.fields)
        }
        events[stream.name] = Batch(columns, len(typed))
    names = (
        "stream",
        "kind",
        "source",
        "position",
        "received_ns",
        "reason",
        "original_seq",
        "read_ns",
    )
    types = (np.uint8, np.uint8, np.uint16, np.int64, np.int64, np.uint16, np.int64, np.int64)
    inputs = {
        name: np.array([plain[name] for plain in RECORDS], dtype)
        for name, dtype in zip(names, types, strict=True)
    }
    told = [plain for plain in RECORDS if plain["quarantine"] is not None]
    texts = [Text.of([plain["quarantine"][i] for plain in told]) for i in range(4)]
    quarantined = Quarantined(
        seq=np.array([plain["seq"] for plain in told]),
        field=texts[0],
        value=texts[1],
        expected=texts[2],
        vault=texts[3],
        length=np.array([plain["quarantine"][4] for plain in told]),
    )
    controls = [
        (plain["seq"], plain["control"].encode())
        for plain in RECORDS
        if plain["control"] is not None
    ]
    first = RECORDS[0]["seq"]
    return JournalBatch(
        first,
        Inputs(row=np.array(rows, np.int32), **inputs),
        events,
        _decisions(),
        quarantined,
        controls,
    )


def _decisions() -> Decisions:
    decided = [
        (plain["seq"], plain["decision"]) for plain in RECORDS if plain["decision"] is not None
    ]
    feature = np.full((2, len(decided)), -1, np.int16)
    contribution = np.zeros((2, len(decided)))
    for row, (_, plain) in enumerate(decided):
        for place, (name, value) in enumerate(plain["reasons"]):
            feature[place, row], contribution[place, row] = name, float.fromhex(value)

    def floats(name: str) -> np.ndarray:
        return np.array([float.fromhex(plain[name]) for _, plain in decided])

    return Decisions(
        seq=np.array([seq for seq, _ in decided]),
        features=np.array(
            [[float.fromhex(value) for value in plain["features"]] for _, plain in decided]
        ).T.copy(),
        margin=floats("margin"),
        score=floats("score"),
        reason_feature=feature,
        reason_contribution=contribution,
        rules=np.array([plain["rules"] for _, plain in decided], np.uint64),
        rule=np.array([plain["rule"] for _, plain in decided], np.int16),
        outcome=np.array([plain["outcome"] for _, plain in decided], np.uint8),
        arm=np.array([plain["arm"] for _, plain in decided], np.uint8),
        marks=np.array([plain["marks"] for _, plain in decided], np.uint8),
    )


def test_the_product_gives_the_vectors() -> None:
    batch = _batch()
    assert [item.hex() for item in records(batch, HEADER)] == [
        plain["canonical"] for plain in RECORDS
    ]
    digests = RecordWriter(batch, HEADER).digests()
    assert [row.tobytes().hex() for row in digests] == [plain["digest"] for plain in RECORDS]
    leaves = leaves_of(digests, batch.inputs.read_ns)
    assert [row.tobytes().hex() for row in leaves] == [plain["leaf"] for plain in RECORDS]
    assert merkle_root(leaves).hex() == VECTORS["root"]


def test_one_record_is_written_as_among_all() -> None:
    writer = RecordWriter(_batch(), HEADER)
    for plain in RECORDS:
        assert writer.record(plain["seq"]).hex() == plain["canonical"]


def test_the_product_gives_head_and_signature() -> None:
    plain, signed = VECTORS["batch"], VECTORS["signed"]
    assert plain["previous"] == GENESIS.hex()
    numbers = (plain["first_seq"], plain["inputs"], plain["decisions"])
    hashes = (bytes.fromhex(plain[name]) for name in ("root", "previous", "header", "payload"))
    assert BatchHeader(*numbers, *hashes).head().hex() == signed["head"]
    key = SigningKey.from_seed(bytes.fromhex(signed["seed"]))
    made = SignedHead.signed(
        key, signed["next_seq"], bytes.fromhex(signed["head"]), signed["signed_ns"]
    )
    assert made.signature.hex() == signed["signature"]
    assert made.message() == plain_journal.signed_message(signed)
    assert made.verifies([PublicKey(bytes.fromhex(signed["public_key"]))])
