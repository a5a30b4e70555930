"""A use case: what a team declares, once. Data, with no method that runs anything."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING

from headrace.core.columns import CATEGORICAL
from headrace.core.errors import DefinitionError
from headrace.definitions.calls import checked_methods, shown
from headrace.definitions.compiler import compile_plan
from headrace.definitions.directions import DIRECTIONS, DirectionDefinition
from headrace.definitions.feature_set import Features
from headrace.definitions.labels import LabelDefinition
from headrace.definitions.plan import Function
from headrace.definitions.sequences import SequenceDefinition
from headrace.definitions.source_lines import user_line
from headrace.definitions.stages import plan_stages
from headrace.definitions.streams import Stream
from headrace.definitions.suggestions import known_field
from headrace.definitions.terms import INT, InCalendar, Windowed
from headrace.models.classes import class_columns
from headrace.models.net_specification import LogisticRegression, Lstm
from headrace.models.onnx_specification import Onnx
from headrace.models.specification import LightGBM, Scorecard, XGBoost
from headrace.models.specifications import CLASSIFIERS, KINDS
from headrace.pipeline.lane import Definition, Explaining
from headrace.policy.adverse_action import AdverseAction
from headrace.policy.conditions import Operand, Source, operands
from headrace.policy.evaluate import CompiledPolicy
from headrace.policy.policy import Policy
from headrace.policy.reasoning import Allowed, Range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.errors import SourceLine
    from headrace.definitions.plan import Plan
    from headrace.definitions.stages import Stages
    from headrace.events.schema import Schema
    from headrace.models.serving import Model
    from headrace.models.specifications import ModelSpecification

_NAME = re.compile(r"[a-z][a-z0-9-]*")


@checked_methods
class UseCase:
    """What is decided, on which features, by which model and policy.

    Everything that can be found wrong without data is found here: features are compiled, the
    policy is checked against them.

    Args:
        on: The stream whose events are decided.
        features: What models and policies see of them.
        sequence: The last vectors of features that the model reads (`hr.sequence`).
        label: What says how an event turned out: events of a stream that refer to it, or the
            direction of a feature (`hr.direction`); needed to train.
        model: What scores; None decides by rules alone.
        policy: What makes an outcome of score and features; None only scores.
        name: What the use case is called in journals and commands: small letters, digits, dashes.
        reasons: How many reason codes a decision carries at most: the features that raised its
            score the most.
        explain_all: Whether approvals carry reason codes too: what spoke against them.
        beside: Streams that no feature reads and that are recorded with the rest, such as what
            people did about decisions.
        adverse_action: What notices of adverse outcomes say, and what a person can change.

    Raises:
        DefinitionError: With the line and the fix.
    """

    def __init__(  # noqa: PLR0913 - a use case is named parts, each once
        self,
        *,
        on: Stream,
        features: Features,
        sequence: SequenceDefinition | None = None,
        label: LabelDefinition | DirectionDefinition | None = None,
        model: ModelSpecification | None = None,
        policy: Policy | None = None,
        name: str | None = None,
        reasons: int = 3,
        explain_all: bool = False,
        beside: Sequence[Stream] = (),
        adverse_action: AdverseAction | None = None,
    ) -> None:
        self.at = at = user_line()
        _check_parts(on, features, sequence, label, model, policy, adverse_action)
        self.name = name if name is not None else f"{_dashed(on.definition.name)}-decisions"
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise DefinitionError(
                f"a use case can't be called {self.name!r}",
                at=at,
                fix="use small letters, digits and dashes, as in card-fraud",
            )
        if type(reasons) is not int or not 0 <= reasons <= 8:
            raise DefinitionError(f"reasons={reasons!r}", at=at, fix="ask for 0 to 8 reason codes")
        if not isinstance(explain_all, bool):
            raise DefinitionError(f"explain_all={explain_all!r}", at=at, fix="give True or False")
        if not all(isinstance(stream, Stream) for stream in beside):
            raise DefinitionError(
                f"beside={shown(beside)} of hr.UseCase",
                at=at,
                fix="give streams: beside=(reviews,)",
            )
        self.beside = tuple(beside)
        self.on = on
        self.features = features
        self.sequence = sequence
        self.label = label if isinstance(label, LabelDefinition) else None
        self.direction = label if isinstance(label, DirectionDefinition) else None
        self.model = model
        self.policy = policy
        self.explaining = Explaining(reasons, explain_all)
        self.plan = compile_plan(on=on, features=features, streams=self._beside)
        if sequence is not None:
            self.plan = replace(self.plan, sequence=sequence.planned(self.plan, on))
        _check_protected(self.plan, at)
        self._check_direction()
        for column in class_columns(self.classes):
            if column.name in features:
                raise DefinitionError(
                    f"feature {column.name!r} is called as the score of a class",
                    at=at,
                    fix="rename the feature, or the class",
                )
        if isinstance(model, XGBoost | LightGBM | Scorecard):
            kinds = [feature.kind in CATEGORICAL for feature in self.plan.features]
            model.check_features([feature.name for feature in self.plan.features], kinds)
        self._compiled_policy = self._compiled(policy) if policy is not None else None
        self.adverse_action = adverse_action
        if adverse_action is not None:
            adverse_action.check(
                [f.name for f in self.plan.features if f.kind not in CATEGORICAL],
                self._compiled_policy.outcomes if self._compiled_policy else (),
                [rule.name for rule in policy.rules] if policy else (),
            )

    def _check_direction(self) -> None:
        """A label of direction reads what there is, and goes with a model that tells classes."""
        label, model = self.direction, self.model
        kind = f"hr.{type(model).__name__}"
        if label is None:
            if isinstance(model, Lstm | LogisticRegression):
                raise DefinitionError(
                    f"{kind} tells directions apart, and the use case has no label of one",
                    at=model.at,
                    fix='give it label=hr.direction(features.mid, key="symbol", after="5s")',
                )
            return
        if label.feature not in self.features:
            raise DefinitionError(
                f"the label is the direction of {label.feature!r}, which is no feature",
                at=self.at,
                fix=f"take one of {', '.join(self.features)}",
            )
        known_field(self.on.definition.schema, label.key, self.at)
        if isinstance(model, LightGBM):
            raise DefinitionError(
                f"{kind} is not fitted to directions",
                at=model.at,
                fix="use hr.XGBoost(), hr.Lstm() or hr.LogisticRegression()",
            )

    def __repr__(self) -> str:
        return f"<use case {self.name}: {len(self.features)} features on {self.plan.on}>"

    def stages(self, key: str | None = None) -> Stages:
        """The stages that it is worked on in where its topics have many partitions.

        Args:
            key: The field of the decided stream that its topics are partitioned by; by default the
                one that most windows are kept by.

        Raises:
            DefinitionError: A window cannot be computed there, or `key` is no field that can be
                one.
        """
        return plan_stages(
            on=self.on,
            features=self.features,
            streams=self._beside,
            key=key,
            sequence=self.sequence,
        )

    @property
    def _beside(self) -> tuple[Stream, ...]:
        """Streams that belong to it though features may not read them."""
        labels = (Stream(self.label.stream),) if self.label is not None else ()
        return (*labels, *self.beside)

    @property
    def classes(self) -> tuple[str, ...]:
        """What the declared model tells apart; () for one probability, or without a model."""
        if self.direction is not None and isinstance(self.model, CLASSIFIERS):
            return DIRECTIONS
        return self.model.classes if isinstance(self.model, Onnx) else ()

    def definition(self, model: Model | None, policy: Policy | None = None) -> Definition:
        """What decides, with a model that was trained for it (or none).

        Args:
            model: What scores.
            policy: In place of the use case's own, as in a back-test.
        """
        return Definition(
            name=self.name,
            plan=self.plan,
            model=model,
            policy=self._compiled_policy if policy is None else self._compiled(policy),
            explaining=self.explaining,
        )

    def _compiled(self, policy: Policy) -> CompiledPolicy:
        """A policy bound to this use case's features and events."""
        if not isinstance(policy, Policy):
            raise DefinitionError(
                f"policy={shown(policy)} is no policy",
                at=user_line(),
                fix="give hr.Policy(..., otherwise=hr.approve())",
            )
        decided = self.on.definition
        for rule in policy.rules:
            for operand in operands(rule.condition):
                if operand.source is Source.SCORE and self.model is None:
                    raise DefinitionError(
                        f"rule {rule.name} asks about the score, and the use case has no model to"
                        " make one",
                        at=rule.at,
                        fix="give the use case a model, as in model=hr.XGBoost(), or leave the"
                        " rule out",
                    )
                if operand.source is Source.FIELD and decided.schema.field(operand.name).protected:
                    raise _protected(f"rule {rule.name}", operand.name, decided.schema, rule.at)
                if operand.stream not in ("", decided.name):
                    raise DefinitionError(
                        f"rule {rule.name} asks about {operand.stream}.{operand.name}, and the"
                        f" event that is decided is of {decided.name!r}",
                        at=rule.at,
                        fix=f"ask about a field of {decided.name!r}, or about a feature that reads"
                        f" {operand.stream!r} through a window",
                    )
        columns = self.plan.features + class_columns(self.classes)
        return CompiledPolicy(policy, columns, decided.schema, _limits(self.features))


def _check_protected(plan: Plan, at: SourceLine | None) -> None:
    """Refuse features that read what the law protects, be it on their way through a window."""
    on = plan.stream(plan.on)
    fields = [name.removeprefix("field:") for name in plan.program.loads if "field:" in name]
    read: list[tuple[Schema, Sequence[str]]] = [(on.schema, fields)]
    read += [(s.schema, [name for _, name in s.program.loaded_fields()]) for s in plan.streams]
    read += [(plan.stream(book.stream).schema, book.fields()) for book in plan.books]
    read += [(plan.stream(v.stream).schema, [v.asked_by]) for v in plan.book_values]
    for group in plan.groups:
        read += [(plan.stream(group.stream).schema, group.key), (on.schema, group.asked_by)]
    if plan.sequence is not None:
        read.append((on.schema, plan.sequence.key))
    for schema, names in read:
        for name in names:
            if schema.field(name).protected:
                raise _protected("a feature", name, schema, at)


def _protected(who: str, name: str, schema: Schema, at: SourceLine | None) -> DefinitionError:
    return DefinitionError(
        f"{who} reads {schema.name}.{name}, which is protected",
        at=at,
        fix=f"leave {name} out: it is there to measure decisions by, not to make them",
    )


def _limits(features: Features) -> dict[Operand, Allowed]:
    """What features can be by their definition: counts are there, and not below 0."""
    found = {}
    for name, term in features.definitions.items():
        node = term.node
        if isinstance(node, Windowed) and node.function in (Function.COUNT, Function.DISTINCT):
            allowed = Allowed(missing=False, numbers=Range(low=Decimal(0)))
        elif isinstance(node, Windowed) and node.function is Function.SECONDS_SINCE_LAST:
            allowed = Allowed(numbers=Range(low=Decimal(0)))
        elif isinstance(node, InCalendar) and term.type == INT:
            allowed = Allowed(numbers=Range(Decimal(0), Decimal(term.bound)))
        else:
            continue
        found[Operand(Source.FEATURE, name)] = allowed
    return found


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _check_parts(  # noqa: PLR0917 - the named parts of a use case, in their order
    on: object,
    features: object,
    sequence: object,
    label: object,
    model: object,
    policy: object,
    adverse_action: object,
) -> None:
    kinds: list[tuple[str, object, tuple[type, ...], str]] = [
        ("on", on, (Stream,), "give a stream, as in on=hr.stream(Payment)"),
        ("features", features, (Features,), "write hr.features(amount=payments.amount, ...)"),
        (
            "sequence",
            sequence,
            (SequenceDefinition, NoneType),
            'write hr.sequence(features, key="symbol", length=32, within="10m")',
        ),
        (
            "label",
            label,
            (LabelDefinition, DirectionDefinition, NoneType),
            'write chargebacks.of(payments).within("60d"), or hr.direction(features.mid, ...)',
        ),
        (
            "model",
            model,
            (*KINDS, NoneType),
            "give hr.XGBoost() or another that is trained, hr.ModelFile(path) or hr.Onnx(path)",
        ),
        ("policy", policy, (Policy, NoneType), "give hr.Policy(..., otherwise=hr.approve())"),
        (
            "adverse_action",
            adverse_action,
            (AdverseAction, NoneType),
            "give hr.AdverseAction(creditor=..., agency=...)",
        ),
    ]
    at = user_line()
    for name, value, expected, fix in kinds:
        if not isinstance(value, expected):
            raise DefinitionError(f"{name}={shown(value)} of hr.UseCase", at=at, fix=fix)
    if isinstance(label, LabelDefinition) and isinstance(on, Stream) and label.of != on.definition:
        raise DefinitionError(
            f"the label is of {label.of.name!r}, the use case decides {on.definition.name!r}",
            at=at,
            fix=f"label {on.definition.name!r}",
        )
