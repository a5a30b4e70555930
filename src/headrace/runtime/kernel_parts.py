"""Every kernel of the product, compiled by using it: a tiny piece of work for each part.

Kernels are compiled for the types of the arrays that they are called with. So each part does here
what it does in life, on two payments, through the same calls. Run as a program, this module takes
names of parts, one a line, from stdin and writes a line for each when its kernels are ready.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Batch, Fixed, Kind, Text, pack_letters
from headrace.core.siphash import sip64_at
from headrace.definitions.plan import (
    Aggregate,
    Book,
    BookPart,
    BookValue,
    Feature,
    Function,
    Group,
    Instruction,
    Op,
    Plan,
    Program,
    StreamPlan,
)
from headrace.events.schema import Field, Role, Schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.engine.engine import Engine
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader
    from headrace.models.ensemble import TreeEnsemble
    from headrace.pipeline.inputs import Inputs

_SCHEMA = Schema(
    "Payment",
    (
        Field("payment_id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("card", Kind.TEXT, Role.KEY, pii=True, subject=True),
        Field("amount", Kind.MONEY, currency_field="currency"),
        Field("currency", Kind.CURRENCY),
    ),
)
_STREAM = StreamPlan(
    "payments",
    _SCHEMA,
    lateness_ns=0,
    max_ahead_ns=0,
    dedupe_ns=0,
    arrives_after_ns=0,
    program=Program(("amount",), (Instruction(Op.NEG_I, 1, (0,)),), 2),
)
_ROWS = 2


def _batch() -> Batch:
    present = np.ones(_ROWS, dtype=np.uint8)
    return Batch(
        {
            "payment_id": Text.of(["p1", "p2"]),
            "at": Fixed.of([1, 2]),
            "card": Text.of(["c1", "c2"]),
            "amount": Fixed.of([100, 200]),
            "currency": Fixed(np.full(_ROWS, pack_letters("EUR"), dtype=np.int64), present),
        },
        _ROWS,
    )


def _inputs() -> Inputs:
    from headrace.pipeline.inputs import Inputs  # noqa: PLC0415 - a worker loads its parts alone

    order = np.arange(_ROWS, dtype=np.int64)
    return Inputs(
        stream=np.zeros(_ROWS, dtype=np.uint8),
        row=order.astype(np.int32),
        source=np.zeros(_ROWS, dtype=np.uint16),
        position=order,
        received_ns=order + 1,
        read_ns=order + 1,
        batches={"payments": _batch()},
    )


def _json() -> None:
    from headrace.events.json_lines import JsonLines  # noqa: PLC0415 - as above

    line = b'{"payment_id":"p1","at":1,"card":"c1","amount":"1.00","currency":"EUR"}\n'
    JsonLines(_SCHEMA).parse(line)


def _lines() -> None:
    from headrace.adapters.line_kernels import gather_lines, line_starts  # noqa: PLC0415 - as above

    data = np.frombuffer(bytearray(b"{}\n"), dtype=np.uint8)
    bounds = np.zeros((2, 2), dtype=np.int64)
    line_starts(data, 0, 3, bounds[0], bounds[1])
    rows = np.zeros(1, dtype=np.int64)
    gather_lines(data, bounds[0], bounds[1], rows, np.zeros(8, dtype=np.uint8))


def _door() -> None:
    from headrace.core.interning import TextTable  # noqa: PLC0415 - as above
    from headrace.pipeline.acceptance import Acceptance  # noqa: PLC0415 - as above
    from headrace.pipeline.staging import partitions_of  # noqa: PLC0415 - as above

    table = TextTable()
    codes = table.intern(Text.of(["a", "b"]).take(np.array([1, 0])))
    table.strings(codes)
    TextTable().restore(table.snapshot())
    acceptance = Acceptance((_STREAM,), "payments", (1, 2), 2**20)
    acceptance.judge(_inputs(), 0)
    acceptance.restore(acceptance.snapshot())
    partitions_of(_batch(), "card", 2)


def _vault() -> None:
    from headrace.security.keys import LocalMasterKey  # noqa: PLC0415 - as above
    from headrace.security.vault import Vault  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory() as name:
        key = LocalMasterKey(bytes(32))
        vault = Vault.open(Path(name), key)
        owner = vault.surrogates("card", Text.of(["c1"]))
        vault.surrogates("email", Text.of(["e1"]), owner)
        vault.commit()
        vault.close()
        vault = Vault.open(Path(name), key)
        surrogate = vault.find("card", "c1") or ""
        vault.reveal(surrogate)
        vault.erase(surrogate)
        vault.close()


def _programs() -> None:
    from headrace.engine.engine import Engine  # noqa: PLC0415 - as above
    from headrace.engine.rows import StreamRows  # noqa: PLC0415 - as above

    plan = Plan(
        on="payments",
        streams=(_STREAM,),
        tables=(),
        groups=(),
        aggregates=(),
        program=Program(("field:amount",), (Instruction(Op.NEG_I, 1, (0,)),), 2),
        features=(Feature("owed", 1, Kind.INT),),
    )
    order = np.arange(_ROWS, dtype=np.int64)
    Engine(plan, threads=1).compute({"payments": StreamRows(_batch(), order, order)})


def _operations() -> None:
    from headrace.core.memory import entry  # noqa: PLC0415 - as above
    from headrace.engine.programs import OPERATIONS  # noqa: PLC0415 - as above

    for operation in OPERATIONS:
        entry(operation)


def _readers() -> None:
    from headrace.core.memory import entry  # noqa: PLC0415 - as above
    from headrace.engine.query_kernels import READERS  # noqa: PLC0415 - as above

    for reader in READERS:
        entry(reader)


def _windows() -> Engine:
    from headrace.engine.engine import Engine  # noqa: PLC0415 - as above
    from headrace.engine.rows import StreamRows  # noqa: PLC0415 - as above

    none = Program((), (), 0)
    other = StreamPlan("refunds", _SCHEMA, 0, 0, 0, 0, none)
    plan = Plan(
        on="payments",
        streams=(StreamPlan("payments", _SCHEMA, 0, 0, 0, 0, none), other),
        tables=(),
        groups=(
            Group("payments", ("card",), ("card",), 0, ()),
            Group("refunds", ("card",), ("card",), 0, ()),
        ),
        aggregates=(
            Aggregate(Function.COUNT, 0, window_ns=10),
            Aggregate(Function.COUNT, 1, window_ns=10),
        ),
        program=Program(("aggregate:0",), (), 1),
        features=(Feature("count", 0, Kind.INT),),
    )
    engine = Engine(plan, threads=1)
    order = np.arange(_ROWS, dtype=np.int64)
    engine.compute({"payments": StreamRows(_batch(), order, order)})
    return engine


def _state() -> None:
    engine = _windows()
    again = type(engine).restore(engine.plan, engine.snapshot(), threads=1)
    state = again.key_state(0, ("c1",))
    if state is not None:
        again.put_key_state(0, ("c1",), state)


def _books() -> None:
    from headrace.engine.engine import Engine  # noqa: PLC0415 - as above
    from headrace.engine.rows import StreamRows  # noqa: PLC0415 - as above

    kinds = {"at": Kind.TIME, "card": Kind.TEXT, "amount": Kind.INT}
    roles = {"at": Role.EVENT_TIME}
    schema = Schema(
        "Change", tuple(Field(n, k, roles.get(n, Role.VALUE)) for n, k in kinds.items())
    )
    stream = StreamPlan("changes", schema, 0, 0, 0, 0, Program((), (), 0))
    book = Book("changes", "card", 2, 2, 0, True, 0, "amount", "amount", "amount", order="amount")
    plan = Plan(
        on="changes",
        streams=(stream,),
        tables=(),
        groups=(),
        aggregates=(),
        program=Program(("book:0",), (), 1),
        features=(Feature("best", 0, Kind.INT),),
        books=(book,),
        book_values=(BookValue(0, "changes", "card", BookPart.PRICE),),
    )
    order = np.arange(_ROWS, dtype=np.int64)
    engine = Engine(plan, threads=1)
    engine.compute({"changes": StreamRows(_batch(), order, order)})
    Engine.restore(plan, engine.snapshot(), threads=1)


def _chain(splits: int) -> TreeEnsemble:
    """A model of one tree that is a chain: every split has a leaf on its left."""
    from headrace.models.ensemble import Link, Missing, TreeEnsemble  # noqa: PLC0415 - as above

    nodes = np.arange(2 * splits + 1, dtype=np.int32)
    inner = (nodes % 2 == 0) & (nodes < 2 * splits)
    return TreeEnsemble(
        library="xgboost",
        objective="binary:logistic",
        feature_names=("x",),
        feature_types=("float",),
        link=Link.LOGISTIC,
        link_scale=1.0,
        single=True,
        base_margin=0.0,
        divisor=1.0,
        tree_start=np.array([0, len(nodes)]),
        feature=np.where(inner, 0, -1).astype(np.int32),
        threshold=np.where(inner, nodes, 0).astype(np.float64),
        left=np.where(inner, nodes + 1, -1).astype(np.int32),
        right=np.where(inner, nodes + 2, -1).astype(np.int32),
        missing=np.full(len(nodes), Missing.LEFT, dtype=np.uint8),
        category_set=np.full(len(nodes), -1, dtype=np.int32),
        inside_right=True,
        set_start=np.zeros(1, dtype=np.int64),
        set_codes=np.zeros(0, dtype=np.int32),
        value=np.where(inner, 0.0, 1.0),
        cover=np.ones(len(nodes)),
    )


def _scorer() -> None:
    from headrace.models.class_kernels import softmax  # noqa: PLC0415 - as above
    from headrace.models.scorer import TreeScorer  # noqa: PLC0415 - as above

    scorer = TreeScorer(_chain(1))
    margins = scorer.margins(np.zeros((1, _ROWS)))
    scorer.probabilities(margins)
    softmax(np.stack([margins, margins]), np.zeros((2, _ROWS)))


def _calibration() -> None:
    from headrace.models.calibration import Calibration  # noqa: PLC0415 - as above

    margins = np.zeros(_ROWS)
    Calibration("isotonic", margins=(0.0,), probabilities=(0.5,)).probability(margins)
    Calibration("platt", coefficients=(1.0, 0.0)).probability(margins)
    Calibration("beta", coefficients=(1.0, 1.0, 0.0)).probability(margins)


def _reasons() -> None:
    from headrace.models.contributions import ContributionScorer  # noqa: PLC0415 - as above
    from headrace.models.reasons import top_reasons  # noqa: PLC0415 - as above
    from headrace.models.vector_kernels import UNIT_SPLITS  # noqa: PLC0415 - as above

    # a tree whose paths fit a table, and one whose paths do not
    for splits in (1, UNIT_SPLITS + 1):
        top_reasons(ContributionScorer(_chain(splits)).contributions(np.zeros((1, _ROWS))), 1)


def _policy() -> None:
    from headrace.policy.conditions import feature  # noqa: PLC0415 - as above
    from headrace.policy.evaluate import CompiledPolicy  # noqa: PLC0415 - as above
    from headrace.policy.policy import Policy, approve, review  # noqa: PLC0415 - as above

    policy = Policy(review("many", feature("count") > 1), otherwise=approve())
    compiled = CompiledPolicy(policy, ["count"], _SCHEMA)
    compiled.evaluate(np.zeros((1, _ROWS)), np.zeros(_ROWS), _batch())


def _journal() -> None:
    from headrace.core.sha256 import leaves_of, merkle_root  # noqa: PLC0415 - as above
    from headrace.journal.batch import (  # noqa: PLC0415 - as above
        Decisions,
        Inputs,
        JournalBatch,
    )
    from headrace.journal.canonical import RecordWriter  # noqa: PLC0415 - as above
    from headrace.journal.header import JournalHeader, StreamHeader  # noqa: PLC0415 - as above
    from headrace.journal.payload import encode_payload  # noqa: PLC0415 - as above
    from headrace.journal.record_reader import batch_of_records  # noqa: PLC0415 - as above

    header = JournalHeader(
        use_case="",
        lane="",
        definition="",
        model="",
        policy="",
        engine="",
        streams=(StreamHeader("payments", _SCHEMA),),
        on="payments",
        features=("count",),
        outcomes=("approve",),
    )
    taken = _inputs()
    whole = np.zeros(_ROWS, dtype=np.int64)
    byte = np.zeros(_ROWS, dtype=np.uint8)
    inputs = Inputs(
        stream=taken.stream,
        kind=byte,
        row=taken.row,
        source=taken.source,
        position=taken.position,
        received_ns=taken.received_ns,
        reason=np.zeros(_ROWS, dtype=np.uint16),
        original_seq=whole - 1,
        read_ns=taken.read_ns,
    )
    decisions = Decisions(
        seq=taken.position,
        features=np.zeros((1, _ROWS)),
        margin=np.zeros(_ROWS),
        score=np.zeros(_ROWS),
        reason_feature=np.zeros((1, _ROWS), dtype=np.int16),
        reason_contribution=np.zeros((1, _ROWS)),
        rules=np.zeros(_ROWS, dtype=np.uint64),
        rule=np.full(_ROWS, -1, dtype=np.int16),
        outcome=byte,
        arm=byte,
        marks=byte,
    )
    batch = JournalBatch(0, inputs, taken.batches, decisions)
    records: list[bytes] = []
    leaves = leaves_of(RecordWriter(batch, header).digests(records), inputs.read_ns)
    merkle_root(leaves)
    encode_payload(batch, header, leaves)
    content = np.frombuffer(b"".join(records), dtype=np.uint8).copy()
    batch_of_records(content, header, 0, _ROWS, 1)
    _index(batch, header)


def _index(batch: JournalBatch, header: JournalHeader) -> None:
    from headrace.journal.index_entries import Gathering  # noqa: PLC0415 - as above
    from headrace.journal.index_files import IndexFolder  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory() as name:
        folder = IndexFolder(Path(name), (1, 2))
        gathering = Gathering(0, 0, folder.hash_key)
        gathering.add(batch, header, 1, 1)
        made = gathering.taken()
        folder.write_closed(0, bytes(32), made)
        for path, words in ((folder.places(0), made.places), (folder.ids(0), made.ids)):
            path.write_bytes(folder.log_header(bytes(32)) + words.tobytes())
        folder.read_log(0, 0, bytes(32), 2)
        closed = folder.read_closed(0, 0, bytes(32))
        if closed is not None:
            closed.batch_at(0)
            closed.seqs(1)
    sip64_at(1, 0, np.uint64(1), np.uint64(2))


#: What compiles the kernels of each part. Those that take longest come first; one that goes on from
#: another's kernels comes long after it, when they are there to be loaded.
PARTS: dict[str, Callable[[], object]] = {
    "windows": _windows,
    "books": _books,
    "operations": _operations,
    "json": _json,
    "door": _door,
    "scorer": _scorer,
    "policy": _policy,
    "journal": _journal,
    "vault": _vault,
    "readers": _readers,
    "reasons": _reasons,
    "programs": _programs,
    "state": _state,
    "lines": _lines,
    "calibration": _calibration,
}


def main() -> None:
    """Compile the parts that are named on stdin, one after the other."""
    # a tenth of the time would go into looking for garbage among what the compiler still needs
    gc.disable()
    for line in sys.stdin:
        name = line.strip()
        PARTS[name]()
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
