"""A use case: what a team declares, once. Data, with no method that runs anything."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headrace.core.errors import DefinitionError
from headrace.definitions.compiler import compile_plan
from headrace.definitions.labels import LabelDefinition
from headrace.definitions.source_lines import user_line
from headrace.definitions.streams import Stream
from headrace.models.specification import LightGBM, ModelFile, XGBoost
from headrace.pipeline.lane import Definition, Explaining
from headrace.policy.evaluate import CompiledPolicy
from headrace.policy.policy import Policy

if TYPE_CHECKING:
    from headrace.definitions.feature_set import Features
    from headrace.models.serving import ServedModel
    from headrace.models.specification import ModelSpecification

_NAME = re.compile(r"[a-z][a-z0-9-]*")


class UseCase:
    """What is decided, on which features, by which model and policy.

    Everything that can be found wrong without data is found here: features are compiled, the
    policy is checked against them.

    Args:
        on: The stream whose events are decided.
        features: What models and policies see of them.
        label: What says how an event turned out; needed to train.
        model: What scores; None decides by rules alone.
        policy: What makes an outcome of score and features; None only scores.
        name: What the use case is called in journals and commands: small letters, digits, dashes.
        reasons: How many reason codes a decision carries at most: the features that raised its
            score the most.
        explain_all: Whether approvals carry reason codes too: what spoke against them.

    Raises:
        DefinitionError: With the line and the fix.
    """

    def __init__(
        self,
        *,
        on: Stream,
        features: Features,
        label: LabelDefinition | None = None,
        model: ModelSpecification | None = None,
        policy: Policy | None = None,
        name: str | None = None,
        reasons: int = 3,
        explain_all: bool = False,
    ) -> None:
        at = user_line()
        self.name = name or f"{on.definition.name.replace('_', '-')}-decisions"
        if not _NAME.fullmatch(self.name):
            raise DefinitionError(
                f"a use case can't be called {self.name!r}",
                at=at,
                fix="use small letters, digits and dashes, as in card-fraud",
            )
        if not 0 <= reasons <= 8:
            raise DefinitionError(f"reasons={reasons}", at=at, fix="ask for 0 to 8 reason codes")
        _check_parts(label, model, policy, on)
        self.on = on
        self.features = features
        self.label = label
        self.model = model
        self.policy = policy
        self.explaining = Explaining(reasons, explain_all)
        beside = (Stream(label.stream),) if label is not None else ()
        self.plan = compile_plan(on=on, features=features, streams=beside)
        self._compiled_policy = (
            CompiledPolicy(policy, self.plan.features, on.definition.schema) if policy else None
        )

    def __repr__(self) -> str:
        return f"<use case {self.name}: {len(self.features)} features on {self.plan.on}>"

    def definition(self, model: ServedModel | None, policy: Policy | None = None) -> Definition:
        """What decides, with a model that was trained for it (or none).

        Args:
            model: What scores.
            policy: In place of the use case's own, as in a back-test.
        """
        compiled = self._compiled_policy
        if policy is not None:
            compiled = CompiledPolicy(policy, self.plan.features, self.on.definition.schema)
        return Definition(
            name=self.name,
            plan=self.plan,
            model=model,
            policy=compiled,
            explaining=self.explaining,
        )


def _check_parts(label: object, model: object, policy: object, on: Stream) -> None:
    at = user_line()
    if label is not None and not isinstance(label, LabelDefinition):
        raise DefinitionError(
            f"label is {label!r}", at=at, fix='write it as chargebacks.of(payments).within("60d")'
        )
    if isinstance(label, LabelDefinition) and label.of != on.definition:
        raise DefinitionError(
            f"the label is of {label.of.name!r}, the use case decides {on.definition.name!r}",
            at=at,
            fix=f"label {on.definition.name!r}",
        )
    if model is not None and not isinstance(model, XGBoost | LightGBM | ModelFile):
        raise DefinitionError(
            f"model is {model!r}", at=at, fix="give hr.XGBoost(), hr.LightGBM() or hr.ModelFile()"
        )
    if policy is not None and not isinstance(policy, Policy):
        raise DefinitionError(
            f"policy is {policy!r}", at=at, fix="give hr.Policy(..., otherwise=hr.approve())"
        )
