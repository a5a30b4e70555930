"""A simulated loan book: people, their accounts, applications, and defaults under an economy.

Unemployment follows a mean-reverting path with a recession in it. A person has a hidden quality,
which shows, with noise, in bureau data, balances, repayments and income; the monthly chance of
default of a loan grows with the burden of its instalment, falls with quality, and moves with
unemployment while the loan is alive. Accounts fall behind, roll on and are cured month by month, as
`headrace_solutions.credit_risk.delinquency` says. Sex and age belong to people, and income differs
a little by both, as it does: so a model that reads neither can still weigh on groups unequally.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from headrace import DefinitionError
from headrace_solutions.credit_risk.delinquency import simulate_delinquency

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

DAY_S = 86_400
PRODUCTS = ("personal", "car", "home_improvement")
_TIME = pa.timestamp("s", tz="UTC")
_MONEY = pa.decimal128(18, 2)
#: Days that loans are followed for.
FOLLOWED = 180


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """What to simulate.

    Attributes:
        events: Applications.
        days: Days over which they come.
        start: The first day, in UTC.
        seed: Of all randomness.
        customers: Share of people who have an account with us.
        recession: How many points of unemployment the recession adds at its worst.
    """

    events: int = 20_000
    days: int = 720
    start: dt.date = dt.date(2024, 1, 1)
    seed: int = 7
    customers: float = 0.35
    recession: float = 4.0

    def __post_init__(self) -> None:
        if self.events < 10 or self.days < 30:
            raise DefinitionError(
                f"a loan book of {self.events} applications over {self.days} days",
                fix="ask for 10 applications and 30 days or more",
            )

    @property
    def start_s(self) -> int:
        """The first moment, seconds since 1970."""
        return (self.start - dt.date(1970, 1, 1)).days * DAY_S


@dataclass(frozen=True, slots=True)
class LoanBook:
    """What was simulated: each table in order of time.

    Attributes:
        applications: Of the stream of that name.
        bureau: Likewise.
        balances: Likewise.
        repayments: Likewise.
        defaults: Likewise; loans are followed for 180 days, also past the last application.
        economy: One row a month: month, unemployment.
        truth: One row an application: application_id, monthly chance of default at first, loss
            given default, and the balance at default as a share of the amount.
    """

    applications: pa.Table
    bureau: pa.Table
    balances: pa.Table
    repayments: pa.Table
    defaults: pa.Table
    economy: pa.Table
    truth: pa.Table


@dataclass(frozen=True, slots=True)
class _People:
    quality: Floats
    sex: Integers
    age: Integers
    income: Floats
    employed: Integers
    utilisation: Floats
    late: Integers
    lines: Integers
    inquiries: Integers
    oldest: Integers
    customer: NDArray[np.bool_]


def simulate(settings: SimulationSettings | None = None) -> LoanBook:
    """Simulate a loan book; the same settings give the same tables.

    >>> simulate(SimulationSettings(events=50, days=60)).applications.num_rows
    50
    """
    chosen = settings or SimulationSettings()
    seeds = np.random.SeedSequence(chosen.seed).spawn(5)
    economy_rng, people_rng, loan_rng, account_rng, outcome_rng = map(np.random.default_rng, seeds)
    months = chosen.days // 30 + FOLLOWED // 30 + 2
    unemployment = _economy(economy_rng, months, chosen.recession)
    people = _people(people_rng, max(5, round(chosen.events * 0.75)), chosen.customers)
    person = loan_rng.integers(0, len(people.quality), chosen.events)
    at = np.sort(loan_rng.integers(0, chosen.days * DAY_S, chosen.events))
    loans = _loans(loan_rng, people, person)
    hazard = _hazard(people, person, loans)
    survived, share = _defaults(outcome_rng, at, hazard, unemployment, loans["months"])
    applications = _applications(chosen, people, person, at, loans)
    bad = np.flatnonzero(survived >= 0)
    when = (at + survived)[bad]
    order = np.argsort(when, kind="stable")
    moment = chosen.start_s + when[order]
    return LoanBook(
        applications=applications,
        bureau=_bureau(account_rng, chosen, people, person, at),
        balances=_balances(account_rng, chosen, people, unemployment),
        repayments=_repayments(account_rng, chosen, people, unemployment),
        defaults=pa.table(
            {
                "default_id": pa.array([f"default_{n}" for n in range(len(bad))], pa.string()),
                "at": pa.array(moment, _TIME),
                "received": pa.array(moment + 6 * 3600, _TIME),
                "application_id": applications["application_id"].take(pa.array(bad[order])),
            }
        ),
        economy=pa.table({"month": np.arange(months), "unemployment": unemployment}),
        truth=pa.table(
            {
                "application_id": applications["application_id"],
                "hazard": hazard,
                "loss_given_default": _loss(outcome_rng, loans["product"]),
                "exposure": share,
            }
        ),
    )


def _economy(rng: np.random.Generator, months: int, recession: float) -> Floats:
    """Unemployment in per cent, month by month, with a recession in the second half."""
    path = np.empty(months)
    level = 5.0
    for month in range(months):
        level += 0.15 * (5.0 - level) + rng.normal(0.0, 0.12)
        path[month] = level
    worst = 0.65 * months
    wave: Floats = recession * np.exp(-(((np.arange(months) - worst) / 3.5) ** 2))
    return path + wave


def _people(rng: np.random.Generator, count: int, customers: float) -> _People:
    quality = rng.normal(size=count)
    sex = rng.integers(0, 2, count)
    age = np.clip(np.round(rng.gamma(9.0, 4.8, count)), 18, 90).astype(np.int64)
    career = np.minimum(age, 50) / 50.0
    income = np.exp(8.1 + 0.25 * quality + 0.12 * sex + 0.5 * career + rng.normal(0, 0.35, count))

    def shown(noise: float) -> Floats:
        return quality + rng.normal(0.0, noise, count)

    def counts(rate: Floats) -> Integers:
        return rng.poisson(rate)

    return _People(
        quality=quality,
        sex=sex,
        age=age,
        income=income,
        employed=counts(np.exp(3.2 + 0.25 * shown(0.8)) * career),
        utilisation=1.0 / (1.0 + np.exp(1.1 * shown(0.7) + 0.3)),
        late=counts(np.exp(-1.1 - 0.9 * shown(0.6))),
        lines=counts(np.exp(1.4 + 0.1 * quality)),
        inquiries=counts(np.exp(-0.2 - 0.45 * shown(0.8))),
        oldest=counts(12.0 * np.maximum(age - 20, 1) * 0.45),
        customer=rng.random(count) < customers,
    )


def _loans(rng: np.random.Generator, people: _People, person: Integers) -> dict[str, Any]:
    count = len(person)
    product = rng.choice(3, count, p=[0.6, 0.25, 0.15])
    scale = np.array([7_000.0, 14_000.0, 12_000.0])[product]
    amount = np.round(scale * np.exp(rng.normal(0.0, 0.5, count)), -2).clip(1_000, 60_000)
    months = rng.choice([12, 24, 36, 48, 60], count, p=[0.1, 0.2, 0.35, 0.2, 0.15])
    burden = amount / months / people.income[person]
    return {"product": product, "amount": amount, "months": months, "burden": burden}


def _hazard(people: _People, person: Integers, loans: dict[str, Any]) -> Floats:
    """The monthly chance of default in a normal economy."""
    logit = (
        -5.55
        - 0.85 * people.quality[person]
        + 2.2 * np.minimum(loans["burden"], 0.8)
        + 0.9 * people.utilisation[person]
        - 0.004 * np.minimum(people.employed[person], 120)
        + 0.12 * np.minimum(people.inquiries[person], 6)
    )
    chance: Floats = 1.0 / (1.0 + np.exp(-logit))
    return chance


def _defaults(
    rng: np.random.Generator, at: Integers, hazard: Floats, unemployment: Floats, term: Integers
) -> tuple[Integers, Floats]:
    """Seconds to each default, -1 where there is none within 180 days; and what is still owed."""
    seconds = np.full(len(at), -1, dtype=np.int64)
    for month in range(1, FOLLOWED // 30):
        # a loan is 90 days behind three months after its first missed payment at the soonest
        place = at // (30 * DAY_S) + month
        stress = np.exp(0.22 * (unemployment[place] - 5.0))
        struck = (rng.random(len(at)) < 1.2 * hazard * stress) & (seconds < 0)
        wait = (month * 30 + rng.integers(0, 30, len(at))) * DAY_S
        seconds[struck] = wait[struck]
    # three instalments are missed when a loan is in default; those before them were paid
    paid = np.maximum(seconds // (30 * DAY_S) - 3, 0)
    return seconds, 1.0 - paid / term


def _loss(rng: np.random.Generator, product: Integers) -> Floats:
    """Loss given default: a secured loan loses less."""
    mean = np.array([0.72, 0.42, 0.60])[product]
    return rng.beta(8.0 * mean, 8.0 * (1.0 - mean))


def _applications(
    settings: SimulationSettings,
    people: _People,
    person: Integers,
    at: Integers,
    loans: dict[str, Any],
) -> pa.Table:
    moment = settings.start_s + at
    number = np.arange(len(person))
    silent = number % 41 == 7  # some say nothing of their income
    return pa.table(
        {
            "application_id": pa.array([f"app_{n:07}" for n in number.tolist()]),
            "at": pa.array(moment, _TIME),
            "received": pa.array(moment + 2, _TIME),
            "applicant": _names(person),
            "product": pa.array([PRODUCTS[p] for p in loans["product"].tolist()]),
            "amount": _money(loans["amount"]),
            "months": loans["months"],
            "income": _money(people.income[person], silent),
            "employed_months": people.employed[person],
            "sex": pa.array(["f" if s == 0 else "m" for s in people.sex[person].tolist()]),
            "age": people.age[person],
        }
    )


def _bureau(
    rng: np.random.Generator,
    settings: SimulationSettings,
    people: _People,
    person: Integers,
    at: Integers,
) -> pa.Table:
    """A report for each application, a minute before it; the same person's moves a little."""
    moment = settings.start_s + at - 60
    count = len(person)
    moved = np.clip(people.utilisation[person] + rng.normal(0.0, 0.05, count), 0.0, 1.3)
    return pa.table(
        {
            "update_id": pa.array([f"bureau_{n}" for n in range(count)]),
            "at": pa.array(moment, _TIME),
            "received": pa.array(moment + 1, _TIME),
            "applicant": _names(person),
            "utilisation": np.round(moved, 3),
            "late_24m": people.late[person],
            "open_lines": people.lines[person],
            "inquiries_6m": people.inquiries[person],
            "oldest_months": people.oldest[person],
        }
    )


def _monthly(
    settings: SimulationSettings, people: _People, hour: int
) -> tuple[Integers, Integers, Integers]:
    """Month, person and time of an account's monthly events, in order of time."""
    owners = np.flatnonzero(people.customer)
    months = np.arange(1, settings.days // 30 + 1)
    month = np.repeat(months, len(owners))
    person = np.tile(owners, len(months))
    spread = np.tile(np.arange(len(owners)) % 3600, len(months))
    at = settings.start_s + month * 30 * DAY_S - DAY_S + hour * 3600 + spread
    order = np.argsort(at, kind="stable")
    return month[order], person[order], at[order]


def _balances(
    rng: np.random.Generator,
    settings: SimulationSettings,
    people: _People,
    unemployment: Floats,
) -> pa.Table:
    month, person, at = _monthly(settings, people, 1)
    limit = np.round(1.5 * people.income[person], -2).clip(500)
    stress = 0.02 * (unemployment[month] - 5.0)
    drawn = people.utilisation[person] + stress + rng.normal(0.0, 0.08, len(at))
    return pa.table(
        {
            "balance_id": pa.array([f"balance_{n}" for n in range(len(at))]),
            "at": pa.array(at, _TIME),
            "received": pa.array(at + 3600, _TIME),
            "applicant": _names(person),
            "balance": _money(np.clip(drawn, 0.0, 1.2) * limit),
            "credit_limit": _money(limit),
        }
    )


def _repayments(
    rng: np.random.Generator,
    settings: SimulationSettings,
    people: _People,
    unemployment: Floats,
) -> pa.Table:
    month, person, at = _monthly(settings, people, 9)
    owners, column = np.unique(person, return_inverse=True)
    months, row = np.unique(month, return_inverse=True)
    found = simulate_delinquency(rng, people.quality[owners], unemployment[months])
    kept = found.open[row, column]
    person, at, row, column = person[kept], at[kept], row[kept], column[kept]
    days, paid = found.days[row, column], found.paid[row, column]
    due = np.round(0.05 * people.income[person], 2)
    return pa.table(
        {
            "repayment_id": pa.array([f"repayment_{n}" for n in range(len(at))]),
            "at": pa.array(at, _TIME),
            "received": pa.array(at + 3600, _TIME),
            "applicant": _names(person),
            "due": _money(due),
            "paid": _money(paid * due),
            "days_late": days,
        }
    )


def _names(person: Integers) -> pa.Array:
    """Made-up people, by number."""
    return pa.array([f"person-{n:07}" for n in person.tolist()])


def _money(amount: Floats, missing: NDArray[np.bool_] | None = None) -> pa.Array:
    cents = pa.array(np.round(amount, 2), mask=missing)
    return cents.cast(_MONEY, safe=False)
