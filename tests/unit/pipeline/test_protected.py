from __future__ import annotations

from typing import Any

import pytest

import headrace as hr
from headrace.core.errors import DefinitionError


class Application(hr.Event):
    application_id: hr.Id
    at: hr.EventTime
    applicant: hr.Key
    income: hr.Float
    sex: hr.Category = hr.field(protected=True)
    age: hr.Int = hr.field(protected=True)


class Update(hr.Event):
    update_id: hr.Id
    at: hr.EventTime
    applicant: hr.Key
    sex: hr.Category = hr.field(protected=True)


applications = hr.stream(Application, name="applications")
updates = hr.stream(Update, name="updates")
applicant = applications.by("applicant")

READING = {
    "as it is": applications.age,
    "in arithmetic": applications.income / applications.age,
    "in a window": applicant.mean(applications.age, "30d"),
    "in the condition of a window": applicant.count("30d", where=applications.sex == "f"),
    "as the key of a window": applications.by("sex").count("30d"),
    "as a part of a key": applications.by("applicant", "sex").count("30d"),
    "in another stream": updates.by("applicant").last(updates.sex, "30d"),
}


@pytest.mark.parametrize("way", READING)
def test_no_feature_reads_what_is_protected(way: str) -> None:
    feature: Any = READING[way]
    with pytest.raises(DefinitionError, match=r"reads (Application|Update)\.(sex|age), which is"):
        hr.UseCase(on=applications, features=hr.features(reads=feature))


def test_no_rule_reads_what_is_protected() -> None:
    policy = hr.Policy(hr.review("old", applications.age > 60), otherwise=hr.approve())
    with pytest.raises(DefinitionError, match=r"rule old reads Application\.age") as caught:
        hr.UseCase(on=applications, features=hr.features(income=applications.income), policy=policy)
    assert caught.value.at is not None
    assert caught.value.at.path == __file__


def test_what_is_protected_is_kept_beside_decisions_and_names_another_schema() -> None:
    case = hr.UseCase(on=applications, features=hr.features(income=applications.income))
    plan = case.plan.stream("applications")
    assert [f.name for f in plan.schema.fields if f.protected] == ["sex", "age"]
    assert b'"protected":true' in plan.schema.canonical()
    # a schema without any is written as it was before there was such a thing
    assert b"protected" not in hr.schema_of(Plain).canonical()


class Plain(hr.Event):
    plain_id: hr.Id
    at: hr.EventTime
