"""Digests of what is decided of made-up payments; `test_processors` runs it everywhere."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Batch, Fixed, Kind, Text
from headrace.definitions.plan import (
    Aggregate,
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
from headrace.journal.canonical import RecordWriter
from headrace.journal.header import JournalHeader
from headrace.models.contributions import ContributionScorer
from headrace.models.ensemble import Link, Missing, TreeEnsemble
from headrace.models.scorer import TreeScorer
from headrace.pipeline.inputs import Inputs
from headrace.pipeline.lane import Definition, Lane
from headrace.pipeline.step import step

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 3_000
SCHEMA = Schema(
    "Payment",
    (
        Field("id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("card", Kind.TEXT, Role.KEY),
        Field("amount", Kind.MONEY, scale=2, currency="EUR"),
        Field("risk", Kind.FLOAT),
    ),
)
FLOATS = {Function.SUM, Function.MEAN, Function.VARIANCE, Function.STD}
ONE_ARGUMENT = (Op.ABS_F, Op.SQRT_F, Op.LOG_F, Op.LOG1P_F, Op.EXP_F)
TWO_ARGUMENTS = (Op.ADD_F, Op.MUL_F, Op.DIV_F, Op.POW_F)


def plan() -> Plan:
    """Every function over windows of two sizes, and every operation on floats."""
    items: list[Aggregate] = []
    features: list[Feature] = []
    for function in Function:
        for value, kind in ((0, Kind.MONEY), (1, Kind.FLOAT)):
            floating = value == 1
            for window in (40, 1_000):
                items.append(Aggregate(function, 0, value, -1, floating, 0, window))
                got = Kind.FLOAT if function in FLOATS else kind
                if function in {Function.COUNT, Function.DISTINCT}:
                    got = Kind.INT
                if function is Function.SECONDS_SINCE_LAST:
                    got = Kind.FLOAT
                features.append(Feature(f"f{len(features)}", len(features), got))
    loads = [f"aggregate:{n}" for n in range(len(items))] + ["field:risk"]
    risk = len(items)
    steps = [Instruction(op, risk + 1 + n, (risk,)) for n, op in enumerate(ONE_ARGUMENT)]
    steps += [
        Instruction(op, risk + 1 + len(steps) + n, (risk + 1, risk))
        for n, op in enumerate(TWO_ARGUMENTS)
    ]
    features += [Feature(f"f{step.out}", step.out, Kind.FLOAT) for step in steps]
    program = Program(tuple(loads), tuple(steps), risk + 1 + len(steps))
    stream = StreamPlan("payments", SCHEMA, 50, 0, 500, 0, Program(("amount", "risk"), (), 2))
    groups = (Group("payments", ("card",), ("card",), 0, ()),)
    return Plan("payments", (stream,), (), groups, tuple(items), program, tuple(features))


def inputs(random: np.random.Generator) -> Inputs:
    """Payments, some late, some twice, values of any size."""
    at = np.cumsum(random.integers(0, 5, ROWS)) - random.integers(0, 30, ROWS)
    risk = random.normal(size=ROWS) * 10.0 ** random.integers(-9, 3, ROWS)
    order = np.arange(ROWS)
    batch = Batch(
        {
            "id": Text.of([str(n) for n in random.integers(0, 9 * ROWS, ROWS)]),
            "at": Fixed.of(at.tolist()),
            "card": Text.of([f"c{n}" for n in random.integers(0, 40, ROWS)]),
            "amount": Fixed.of(random.integers(-(10**6), 2**53, ROWS).tolist()),
            "risk": Fixed.of(risk.view(np.int64).tolist()),
        },
        ROWS,
    )
    return Inputs(
        stream=np.zeros(ROWS, dtype=np.uint8),
        row=order.astype(np.int32),
        source=np.zeros(ROWS, dtype=np.uint16),
        position=order,
        received_ns=np.full(ROWS, 2**40),
        read_ns=order,
        batches={"payments": batch},
    )


def ensemble(random: np.random.Generator, features: int, trees: int, depth: int) -> TreeEnsemble:
    """Full trees with random splits."""
    splits, nodes = 2**depth - 1, 2 ** (depth + 1) - 1
    place = np.arange(nodes)
    split = place < splits
    first = np.repeat(np.arange(trees) * nodes, nodes)
    count = trees * nodes
    inner = np.tile(split, trees)
    cover = np.tile(2.0 ** (depth - np.floor(np.log2(place + 1))), trees)

    def children(side: int) -> np.ndarray:
        return np.where(inner, first + np.tile(2 * place + side, trees), -1).astype(np.int32)

    return TreeEnsemble(
        library="xgboost",
        objective="binary:logistic",
        feature_names=tuple(f"f{n}" for n in range(features)),
        feature_types=("float",) * features,
        link=Link.LOGISTIC,
        link_scale=1.0,
        single=True,
        base_margin=0.125,
        divisor=1.0,
        tree_start=np.arange(trees + 1) * nodes,
        feature=np.where(inner, random.integers(0, features, count), -1).astype(np.int32),
        threshold=np.where(inner, random.normal(size=count), 0).astype(np.float32).astype(float),
        left=children(1),
        right=children(2),
        missing=random.choice([Missing.LEFT, Missing.RIGHT], count).astype(np.uint8),
        category_set=np.full(count, -1, dtype=np.int32),
        inside_right=True,
        set_start=np.zeros(1, dtype=np.int64),
        set_codes=np.zeros(0, dtype=np.int32),
        value=np.where(inner, 0, random.normal(size=count) * 0.1).astype(np.float32).astype(float),
        cover=cover,
    )


def main() -> None:
    """Print a digest for each stage."""
    random = np.random.default_rng(11)
    made = plan()
    lane = Lane(Definition("vectors", made, None, None), (1, 2))
    batch = step(lane, inputs(random))
    header = JournalHeader.of_plan(
        made, use_case="v", lane="0", model="", policy="", engine="", outcomes=("undecided",)
    )
    features = np.ascontiguousarray(batch.decisions.features)
    forest = ensemble(random, len(features), 40, 4)
    scorer = TreeScorer(forest)
    margins = scorer.margins(features)
    stages: dict[str, NDArray[np.generic]] = {
        "features": features,
        "journal": RecordWriter(batch, header).digests(),
        "margins": margins,
        "probabilities": scorer.probabilities(margins),
        "contributions": ContributionScorer(forest).contributions(features),
    }
    for name, values in stages.items():
        sys.stdout.write(f"{name} {hashlib.sha256(values.tobytes()).hexdigest()}\n")


if __name__ == "__main__":
    main()
