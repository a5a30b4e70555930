"""Work of every sort that calls kernels; `test_processors` looks for what it had to compile.

Takes a folder to work in. Where `WITHOUT` is given, nothing is done but to name every kernel of
the product that has no machine code in the cache.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
import shutil
import sys
import warnings
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "unit" / "engine")]
sys.path += [str(Path(__file__).parents[1] / "unit" / "models"), str(Path(__file__).parents[2])]

WITHOUT = "--without-code"


def kernels_without_code() -> list[str]:
    """Names of kernels that the cache has no machine code of."""
    import headrace  # noqa: PLC0415 - the modules of the product, in the process that asks

    found = []
    for module in pkgutil.walk_packages(headrace.__path__, "headrace."):
        for name, item in vars(importlib.import_module(module.name)).items():
            index = getattr(getattr(item, "_cache", None), "_cache_file", None)
            if index is not None and item.py_func.__module__ == module.name:
                found += [] if index._load_index() else [f"{module.name}.{name}"]
    return found


def engines(seeds: range) -> None:
    """Plans and histories as the engine's property tests draw them, in batches and restored."""
    tests = importlib.import_module("test_engine")
    for seed in seeds:
        drawn = random.Random(seed)
        plan, inputs = tests.plan_drawn(drawn), tests.history_drawn(drawn)
        engine = tests.Engine(plan, threads=1 + seed % 2)
        middle = len(inputs) // 2
        tests.feed(engine, inputs, 0, middle)
        again = tests.Engine.restore(plan, engine.snapshot(), threads=2)
        tests.feed(again, inputs, middle, len(inputs))
        again.memory()
        for number, group in enumerate(plan.groups):
            for event in inputs[:5]:
                key = tuple(str(event.fields[name]) for name in group.key)
                state = None if "None" in key else again.key_state(number, key)
                if state is not None:
                    again.put_key_state(number, key, state)


def models(seeds: range) -> None:
    """Models with missing values, categories and long paths, against their libraries."""
    tests = importlib.import_module("test_contributions")
    warnings.simplefilter("ignore")
    for seed in seeds:
        tests.check_xgboost(seed)
        tests.check_lightgbm(seed)


def whole(folder: Path) -> None:
    """Train, run from files, stop and go on, retry, replay, frames: with every feature there is."""
    import cases  # noqa: PLC0415 - as above

    import headrace as hr  # noqa: PLC0415 - as above
    from headrace.journal.reader import stored_batches  # noqa: PLC0415 - as above
    from headrace.lifecycle.registry import Registry  # noqa: PLC0415 - as above
    from headrace.runtime.home import Home  # noqa: PLC0415 - as above
    from headrace.runtime.local import LocalRun, RunSettings  # noqa: PLC0415 - as above
    from headrace.runtime.local_lane import LocalLane, open_vault  # noqa: PLC0415 - as above
    from headrace.runtime.models import model_of  # noqa: PLC0415 - as above
    from headrace.runtime.quarantine import SOURCE, quarantined, retry  # noqa: PLC0415 - as above
    from headrace.runtime.replaying import recorded_definitions, replay  # noqa: PLC0415 - as above

    case, home = cases.card_fraud, Home(folder / "home")
    history = cases.history(case, folder)
    model = hr.train(case, history.frames).artefact
    hr.compute(case, history.frames)
    hr.decide(case, history.frames, model=model)
    hr.backtest(case, history.frames, model=model, new_policy=hr.Policy(otherwise=hr.approve()))
    registry = Registry(home.models)
    registry.use(case.name, registry.add(model))
    first = LocalRun(case, home, history.sources, settings=RunSettings(batch_rows=500))
    first.stop()
    first.go()
    LocalRun(case, home, history.sources, settings=RunSettings(batch_rows=4_096)).go()
    journal = home.journal(case.name)
    with LocalLane(case.definition(model_of(case, home)), home, [SOURCE]) as local:
        retry(local, [item for item in quarantined(journal) if item.retried_as is None])
    vault = open_vault(home)
    events = next(stored_batches(journal)).batch().events["payments"]
    surrogate = events.text("card").strings()[0]
    assert surrogate is not None
    assert vault.reveal(surrogate)
    assert vault.erase(surrogate)
    vault.close()
    assert replay(journal, recorded_definitions(home, case.name)).difference is None


def commands(folder: Path) -> None:
    """The ready-made use case through the commands, live and from files, CSV and Parquet.

    Their process is forked from one that has loaded the machine code, and has compiled none.
    """
    from tests.warm import headrace  # noqa: PLC0415 - as above

    home = ["--home", str(folder / "home")]

    def call(*arguments: str, given: bytes | None = None) -> None:
        done = headrace(arguments, folder, feed=given or b"")
        assert done.returncode == 0, done.stderr

    data = folder / "data"
    call("simulate", "card-fraud", "--out", str(data), "--events", "8000", "--days", "120")
    streams = {name: next(data.glob(f"{name}.*")) for name in ("payments", "chargebacks", "rates")}
    files = [f"{name}={path}" for name, path in streams.items()]
    call("train", "card-fraud", *(part for file in files for part in ("--history", file)), *home)
    shutil.copytree(folder / "home", folder / "other")
    source = [part for file in files for part in ("--source", file)]
    sinks = [("--sink", str(folder / f"decisions.{form}")) for form in ("jsonl", "csv", "parquet")]
    other = ("--home", str(folder / "other"))
    call("run", "card-fraud", *source, *(part for sink in sinks for part in sink), *other)
    lines = streams["payments"].read_bytes().splitlines(keepends=True)[:1_000]
    call("run", "card-fraud", "--source", "-", *home, given=b"".join(lines))
    late = lines[0].replace(b'"payment_id":"', b'"payment_id":"late-')
    call("run", "card-fraud", "--source", "-", *home, given=b"".join([*lines, late]))
    call("quarantine", "retry", "card-fraud", "--reason", "late", *home)
    call("verify", "card-fraud", *home)
    call("replay", "card-fraud", *home)
    call("explain", "card-fraud/0/5", *home)
    call("prove", "card-fraud/0/5", "--out", str(folder / "proof.json"), *home)
    call("query", "SELECT outcome, count(*) FROM decisions GROUP BY outcome", *home)


def main() -> None:
    """Do all of it."""
    if sys.argv[1] == WITHOUT:
        print("\n".join(kernels_without_code()))  # noqa: T201 - the answer
        return
    folder = Path(sys.argv[1])
    for part in ("whole", "commands"):
        (folder / part).mkdir()
    whole(folder / "whole")
    commands(folder / "commands")
    models(range(6))
    engines(range(60))


if __name__ == "__main__":
    main()
