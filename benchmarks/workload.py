"""The workload: payments as JSON lines and Parquet, and models trained on part of them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xgboost
from benchmarks.payments import payments, use_case

from headrace.pipeline.lane import Lane
from headrace.pipeline.step import accept
from headrace.runtime.intake import Assembly, HistoryIntake
from headrace.runtime.sources import historic_sources, named_sources
from headrace_solutions.card_fraud.population import CURRENCIES
from headrace_solutions.card_fraud.simulator import (
    Simulation,
    SimulationSettings,
    benchmark_settings,
    decimals,
    simulate,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: Where a working copy keeps the workload between runs.
FOLDER = Path(__file__).parent.parent / "build" / "benchmark"
#: Payments that models are trained on, and trees by depth.
TRAINED_ON = 200_000
TREES = {6: 200, 4: 300}
#: Shares of the training payments that score above the thresholds.
REVIEWED, BLOCKED = 0.045, 0.010
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Workload:
    """A folder of files.

    Attributes:
        folder: Where they are.
        lines: How many JSON lines there are: payments, duplicates and broken ones.
    """

    folder: Path
    lines: int

    @property
    def json(self) -> Path:
        """The payments as JSON lines, in order of arrival."""
        return self.folder / "payments.jsonl"

    @property
    def parquet(self) -> Path:
        """The same payments as a table, without duplicates and broken lines."""
        return self.folder / "payments.parquet"

    def settings(self, depth: int, *, explain_all: bool = False) -> Path:
        """The file that `HEADRACE_BENCHMARK` names for a model of that depth."""
        return self.folder / f"settings-{depth}{'-all' if explain_all else ''}.json"


def prepared(folder: Path, times: int = 1, events: int | None = None) -> Workload:
    """The workload in a folder, made if it is not there.

    Args:
        folder: For the files.
        times: How many times the events, cards and merchants of the benchmark.
        events: Fewer events, for a trial.
    """
    mark = folder / "workload.json"
    if mark.exists():
        return Workload(folder, json.loads(mark.read_text())["lines"])
    folder.mkdir(parents=True, exist_ok=True)
    settings = benchmark_settings(times=times)
    if events is not None:
        settings = SimulationSettings(
            events=events,
            cards=events // 5,
            merchants=max(events // 100, 10),
            card_exponent=settings.card_exponent,
            merchant_exponent=settings.merchant_exponent,
        )
    made = simulate(settings)
    table = in_euro(made.payments)
    work = Workload(folder, table.num_rows)
    with work.json.open("wb") as file:
        for chunk in json_lines(table, made.broken):
            file.write(chunk)
    pq.write_table(clean(table, made.broken), work.parquet)
    train(work, made)
    mark.write_text(json.dumps({"lines": table.num_rows}))
    return work


def in_euro(table: pa.Table) -> pa.Table:
    """The payments with their amounts in euro, by one rate for each currency."""
    worth = {code: money.euro for code, money in CURRENCIES.items()}
    rates = np.array([worth[code] for code in table["currency"].to_pylist()])
    units = np.maximum(np.round(table["amount"].cast(pa.float64()).to_numpy() * rates * 100), 1)
    names = ("payment_id", "at", "received", "card", "merchant", "amount", "currency", "country")
    columns = {name: table[name] for name in names}
    columns["amount"] = decimals(units.astype(np.int64), pa.decimal128(18, 2))
    columns["currency"] = pa.array(["EUR"]).take(pa.array(np.zeros(len(table), np.int32)))
    return pa.table(columns)


def clean(table: pa.Table, broken: NDArray[np.int64]) -> pa.Table:
    """What a batch job would get: each payment once, and whole."""
    kept = np.ones(table.num_rows, dtype=bool)
    kept[broken] = False
    whole = table.filter(pa.array(kept))
    codes = whole["payment_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    return whole.take(pa.array(np.sort(first)))


def json_lines(table: pa.Table, broken: NDArray[np.int64]) -> Iterator[bytes]:
    """The payments as JSON lines, in chunks; broken ones as no reader should accept them."""
    wrong = set(broken.tolist())
    for start in range(0, table.num_rows, _CHUNK):
        part = table.slice(start, _CHUNK)
        pieces: list[Any] = ['{"payment_id":"', part["payment_id"]]
        for name in ("at", "received"):
            moment = pc.strftime(part[name].cast(pa.timestamp("ms")), "%Y-%m-%dT%H:%M:%SZ")
            pieces += [f'","{name}":"', moment]
        for name in ("card", "merchant"):
            pieces += [f'","{name}":"', part[name]]
        pieces += ['","amount":', part["amount"].cast(pa.string())]
        pieces += [',"currency":"', part["currency"], '","country":"', part["country"]]
        joined = pc.binary_join_element_wise(*pieces, '"}\n', "")
        if wrong.isdisjoint(range(start, start + part.num_rows)):
            yield b"".join(chunk.buffers()[2].to_pybytes() for chunk in joined.chunks)
            continue
        lines = joined.to_pylist()
        for row in wrong.intersection(range(start, start + part.num_rows)):
            lines[row - start] = spoilt(lines[row - start], row)
        yield "".join(lines).encode()


def spoilt(line: str, number: int) -> str:
    """A line as it should not be, in one of four ways.

    >>> spoilt('{"amount":1.00,"currency":"EUR"}', 1)
    '{"amount":"n/a","was":1.00,"currency":"EUR"}'
    """
    ways = (
        lambda: line[: len(line) // 2] + "\n",
        lambda: line.replace('"amount":', '"amount":"n/a","was":'),
        lambda: line.replace('"currency":"', '"currency":"X'),
        lambda: line.replace('"card":', '"crad":'),
    )
    return ways[number % 4]()


def train(work: Workload, made: Simulation) -> None:
    """Train the models on the first payments, and choose thresholds by their scores."""
    x, ids = first_features(work)
    found = pc.index_in(pa.array(ids), made.truth["payment_id"].combine_chunks())
    y = made.truth["fraud"].combine_chunks().take(found).to_numpy(zero_copy_only=False)
    names = [feature.name for feature in use_case(None).plan.features]
    data = xgboost.QuantileDMatrix(x.T, y.astype(np.float32), feature_names=names)
    for depth, trees in TREES.items():
        begun = time.perf_counter()
        model = xgboost.train(
            {
                "objective": "binary:logistic",
                "max_depth": depth,
                "eta": 0.1,
                "tree_method": "hist",
                "seed": 7,
                # every tree grows to its depth: what is measured is the work of full trees
                "min_child_weight": 0.0,
                "gamma": 0.0,
                "lambda": 1.0,
            },
            data,
            num_boost_round=trees,
        )
        path = work.folder / f"model-{depth}.json"
        model.save_model(path)
        score = model.predict(data)
        plain = {
            "model": str(path.resolve()),
            "review": float(np.quantile(score, 1 - REVIEWED)),
            "block": float(np.quantile(score, 1 - BLOCKED)),
            "leaves": int((model.trees_to_dataframe()["Feature"] == "Leaf").sum()),
            "seconds": time.perf_counter() - begun,
        }
        for everyone in (False, True):
            content = json.dumps({**plain, "explain_all": everyone})
            work.settings(depth, explain_all=everyone).write_text(content)


def first_features(work: Workload) -> tuple[NDArray[np.float64], list[str | None]]:
    """Features of the first payments [features, rows], and their ids."""
    case = use_case(None)
    assembly = Assembly(case.plan, None)
    sources = historic_sources(named_sources([str(work.json)], payments.definition.name), assembly)
    intake = HistoryIntake(assembly, list(enumerate(sources)), {}, time.time_ns)
    lane = Lane(case.definition(None), (0, 0))
    values: list[NDArray[np.float64]] = []
    ids: list[str | None] = []
    for inputs in intake.batches(0, 16_384):
        first = lane.next_seq
        accepted = accept(lane, inputs)
        rows = inputs.row[accepted.seq - first]
        ids += inputs.batches["payments"].text("payment_id").take(rows).strings()
        values.append(accepted.features.values)
        if len(ids) >= TRAINED_ON:
            break
    return np.concatenate(values, axis=1), ids
