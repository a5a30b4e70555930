"""Use cases that every way to run is shown on, and histories of them with every fault.

Those of payments are rich enough to touch every part; the others are the ready-made ones.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from tests.disturbances import Faults, disturbed, lines
from tests.market_feed import market_feed
from tests.session_folder import made_once
from trading_by_lstm import trading_by_lstm

import headrace as hr
import headrace_solutions
from headrace.lifecycle.folds import FoldSettings
from headrace.lifecycle.registry import Registry
from headrace.lifecycle.training import TrainingSettings
from headrace.runtime.home import Home
from headrace.runtime.models import import_declared
from headrace_solutions.card_fraud.lines import write, write_table
from headrace_solutions.card_fraud.simulator import SimulationSettings as PaymentSettings
from headrace_solutions.card_fraud.simulator import simulate as payments_simulated
from headrace_solutions.credit_risk import credit_risk
from headrace_solutions.credit_risk.simulator import SimulationSettings as LoanSettings
from headrace_solutions.credit_risk.simulator import simulate as loans_simulated
from headrace_solutions.trading_signal.case import trading_signal, trading_signal_by

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from headrace.models.artefact import Artefact

MODELS = Path(__file__).parent.parent / "golden" / "models"


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    card: hr.Key = hr.field(pii=True, subject=True)
    merchant: hr.Key
    amount: hr.Money
    currency: hr.Currency
    country: hr.Country
    mcc: hr.Category
    lat: hr.Float | None
    lon: hr.Float | None


class Chargeback(hr.Event):
    chargeback_id: hr.Id
    at: hr.EventTime
    payment_id: hr.Ref[Payment]
    merchant: hr.Key


class Rate(hr.Row):
    base: hr.Currency
    quote: hr.Currency
    rate: hr.Decimal = hr.field(scale=8)
    valid_from: hr.EventTime


payments = hr.stream(Payment, name="payments", lateness="10m")
chargebacks = hr.stream(Chargeback, name="chargebacks", arrives_after="1d")
rates = hr.table(Rate, key=("base", "quote"), name="rates")

eur = payments.amount.in_currency("EUR", rates)
card, merchant = payments.by("card"), payments.by("merchant")

features = hr.features(
    amount=eur,
    hour=payments.at.hour("Europe/Berlin"),
    mcc=payments.mcc,
    country=payments.country,
    card_count_5m=card.count("5m"),
    card_sum_24h=card.sum(eur, "24h"),
    card_mean_30d=card.mean(eur, "30d"),
    card_std_7d=card.std(eur, "7d"),
    card_max_24h=card.max(eur, "24h"),
    card_small_1h=card.count("1h", where=eur < 5),
    card_count_before=card.count("7d", include_current=False),
    card_merchants_1d=card.distinct(payments.merchant, "1d"),
    card_by_day=card.sum(eur, "30d", every="1d"),
    previous_mcc=card.previous(payments.mcc, within="30d"),
    since_last=card.seconds_since_last(within="90d"),
    over_usual=eur / card.mean(eur, "30d"),
    moved=hr.great_circle(
        card.previous(payments.lat, within="7d"),
        card.previous(payments.lon, within="7d"),
        payments.lat,
        payments.lon,
    ),
    merchant_sum_1h=merchant.sum(eur, "1h"),
    merchant_chargebacks=chargebacks.by("merchant").count("90d"),
)

card_fraud = hr.UseCase(
    name="parity",
    on=payments,
    features=features,
    label=chargebacks.of(payments).within("20d"),
    model=hr.XGBoost(
        max_depth=4,
        trees=40,
        early_stopping=None,
        monotone={"merchant_chargebacks": 1},
        calibration="isotonic",
    ),
    policy=hr.Policy(
        hr.block("score_high", hr.score >= 0.6),
        hr.review("score_middle", hr.score >= 0.1),
        hr.review("burst", features.card_count_5m > 4),
        otherwise=hr.approve(),
    ),
    explain_all=True,
)


#: The same with a model in ONNX that reads the last vectors of the card beside features.
card_sequence = hr.UseCase(
    name="parity-sequence",
    on=payments,
    features=features,
    sequence=hr.sequence(
        features,
        key="card",
        length=6,
        within="30d",
        only=("amount", "since_last", "card_count_5m", "over_usual"),
    ),
    model=hr.Onnx(
        MODELS / "sequence.onnx",
        classes=("fraud", "genuine"),
        flat="flat",
        sequence="sequence",
        mask="mask",
        features=("amount", "card_sum_24h", "card_std_7d", "merchant_sum_1h", "hour"),
    ),
    policy=hr.Policy(
        hr.block("score_high", hr.score >= 0.95),
        hr.review("score_middle", hr.score_of("genuine") <= 0.25),
        hr.review("burst", features.card_count_5m > 4),
        otherwise=hr.approve(),
    ),
)


@dataclass(frozen=True)
class History:
    """Files of one simulation by the names of their streams, the decided one first; its tables."""

    files: Mapping[str, Path]
    frames: Mapping[str, pa.Table]

    @property
    def sources(self) -> list[str]:
        """As the command takes them."""
        return [f"{name}={path}" for name, path in self.files.items()]

    @property
    def decided(self) -> Path:
        """The file whose events are decided."""
        return next(iter(self.files.values()))


def history(
    case: hr.UseCase, folder: Path, *, share: float = 1.0, seed: int = 5, broken: bool = True
) -> History:
    """A history of a use case with late, repeated and unreadable events.

    Unreadable lines stand in the file of what is decided alone: frames hold what they would have
    been.

    Args:
        case: One of `CASES`.
        folder: For the files.
        share: Of its usual size.
        seed: Of what is drawn.
        broken: Whether there are unreadable lines.
    """
    return CASES[case](folder, share, seed, broken)


def _payments(folder: Path, share: float, seed: int, broken: bool) -> History:  # noqa: FBT001 - see `history`
    """In several currencies."""
    simulation = payments_simulated(
        PaymentSettings(
            events=round(6_000 * share),
            cards=300,
            merchants=60,
            days=90,
            seed=seed,
            fraud=0.03,
            late=0.03,
            duplicates=0.01,
            invalid=0.01 if broken else 0.0,
        )
    )
    # what the simulator has late is in time for the stream
    faults = Faults(0.01, dt.timedelta(hours=1), 0.0, changed=0.005, seed=seed)
    simulation = replace(simulation, payments=disturbed(simulation.payments, faults))
    names = ("payments.jsonl", "chargebacks.parquet", "rates.csv")
    files = {name.partition(".")[0]: folder / name for name in names}
    write(simulation, files["payments"])
    write_table(simulation.chargebacks, files["chargebacks"])
    write_table(simulation.rates, files["rates"])
    return History(files, {name: getattr(simulation, name) for name in files})


def _loans(folder: Path, share: float, seed: int, broken: bool) -> History:  # noqa: FBT001 - see `history`
    """Applications, and what is known of the applicants."""
    book = loans_simulated(LoanSettings(events=round(1_000 * share), days=540, seed=seed))
    faults = Faults(seed=seed)
    frames = {"applications": disturbed(book.applications, faults)}
    frames |= {
        name: disturbed(getattr(book, name), replace(faults, seed=seed + number))
        for number, name in enumerate(("bureau", "balances", "repayments"), start=1)
    }
    frames["defaults"] = book.defaults
    forms = dict.fromkeys(frames, "parquet") | {"applications": "jsonl", "bureau": "csv"}
    files = {name: folder / f"{name}.{form}" for name, form in forms.items()}
    with files["applications"].open("wb") as file:
        file.writelines(lines(frames["applications"], faults if broken else None))
    for name in list(frames)[1:]:
        write_table(frames[name], files[name])
    return History(files, frames)


def _market(folder: Path, share: float, seed: int, broken: bool) -> History:  # noqa: FBT001 - see `history`
    """Books with gaps: events that are late or changed leave some of their messages incomplete."""
    faults = Faults(
        0.005, dt.timedelta(seconds=30), 0.01, dt.timedelta(seconds=1), 0.002, seed=seed
    )
    frames = {
        name: disturbed(table, replace(faults, seed=seed + number))
        for number, (name, table) in enumerate(market_feed(round(1_400 * share), seed).items())
    }
    files = {name: folder / f"{name}.parquet" for name in frames}
    files["depth"] = folder / "depth.jsonl"
    with files["depth"].open("wb") as file:
        file.writelines(lines(frames["depth"], faults if broken else None))
    for name in list(frames)[1:]:
        write_table(frames[name], files[name])
    return History(files, frames)


#: What every way to run is shown on, and how histories of it are made.
CASES: dict[hr.UseCase, Callable[[Path, float, int, bool], History]] = {
    card_fraud: _payments,
    card_sequence: _payments,
    credit_risk: _loans,
    trading_signal: _market,
    trading_by_lstm: _market,
}

#: What a command takes for them; the others stand in this file.
SOLUTIONS = Path(headrace_solutions.__file__).parent
FILES = {
    credit_risk: f"{SOLUTIONS / 'credit_risk' / 'case.py'}:credit_risk",
    trading_signal: f"{SOLUTIONS / 'trading_signal' / 'case.py'}:trading_signal",
    trading_by_lstm: f"{Path(__file__).with_name('trading_by_lstm.py')}:trading_by_lstm",
}

#: Fitted for long, as a short history is judged by too few events to stop early.
_FITTED = trading_signal_by(hr.XGBoost(trees=60, max_depth=3, early_stopping=None, seed=7))


def is_scored_elsewhere(case: hr.UseCase) -> bool:
    """Whether ONNX Runtime scores, whose last bits differ between processors."""
    return isinstance(case.model, hr.Onnx | hr.Lstm)


def skipped_without_libraries(case: hr.UseCase) -> None:
    """Skip the test where what the use case needs is not installed."""
    if is_scored_elsewhere(case):
        pytest.importorskip("onnxruntime")
    if isinstance(case.model, hr.Lstm):
        pytest.importorskip("onnx")
        pytest.importorskip("torch")


def home_with_model(case: hr.UseCase, shared: Path) -> Home:
    """A home with a model of a use case and nothing else, to be copied; made once for a session.

    Args:
        case: One of `CASES`.
        shared: The folder of the session (`tests.session_folder`).
    """
    return Home(made_once(shared / case.name, lambda folder: _with_model(case, folder)))


def _with_model(case: hr.UseCase, folder: Path) -> None:
    with TemporaryDirectory() as data:
        artefact = _trained(case, history(case, Path(data)))
    registry = Registry(Home(folder).models)
    registry.use(case.name, registry.add(artefact))


def _trained(case: hr.UseCase, made: History) -> Artefact:
    """A model of a use case; one fold is enough, as what it is worth is no matter here."""
    if isinstance(case.model, hr.Onnx):
        return import_declared(case, case.model)
    fitted = _FITTED if case is trading_signal else case
    settings = TrainingSettings(folds=FoldSettings(folds=1))
    return hr.train(fitted, made.frames, settings=settings).artefact
