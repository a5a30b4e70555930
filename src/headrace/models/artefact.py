"""A trained model as a file that says what it is: the library's own format, and a manifest.

An artefact is its hash. The manifest names the model file by SHA-256, the definition it was
trained for, its data, settings, metrics and library versions; the artefact's id is the SHA-256 of
the manifest's canonical bytes. On disk it is a folder called by that id:

    model.json | model.txt | model.onnx
                              the library's format, which the library opens without Headrace
    scorecard.json            in place of it: a scorecard, see `headrace.models.scorecard`
    manifest.json             what is said above, keys sorted
    card.md                   the same for people: the model card (Mitchell and others, 2019)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.core.errors import ArtefactError
from headrace.models.calibration import Calibration  # noqa: TC001 - a manifest is decoded by it
from headrace.models.onnx_model import Binding  # noqa: TC001 - msgspec reads the annotation
from headrace.models.scorecard import table

if TYPE_CHECKING:
    from pathlib import Path

_FILE_NAMES = {
    "xgboost-json": "model.json",
    "xgboost-ubj": "model.ubj",
    "xgboost-classes-json": "model.json",
    "lightgbm-text": "model.txt",
    "onnx": "model.onnx",
    "scorecard-json": "scorecard.json",
}


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is said of a model.

    Attributes:
        model_sha256: Of the model file.
        form: "xgboost-json", "xgboost-ubj", "xgboost-classes-json" (a margin for each class),
            "lightgbm-text", "scorecard-json" or "onnx".
        definition: Digest of the plan that its features come from.
        features: Their names, in the model's order.
        vocabulary: The categories of each categorical feature.
        specification: The settings it was fitted with.
        trees: How many it has; 0 of a model that is no tree ensemble.
        data: Range of event times, counts of rows, positives, and those not yet mature.
        arrival: "known" where every event said when it was known; else "assumed", and equality
            with live scores is not claimed.
        label: How labels were made.
        split: Times that part training, validation and test.
        metrics: On the validation and test parts.
        libraries: Names and versions.
        classes: What its scores are of, in order; none for one probability.
        onnx: What goes into a model in ONNX, and what comes out.
        calibration: What makes probabilities of margins; None where the model's own link does.
        alternatives: Of a model that was chosen among alternatives: what was tried, the figures of
            the declared and of the chosen one, and why it was chosen.
    """

    model_sha256: str
    form: str
    definition: str
    features: tuple[str, ...]
    vocabulary: dict[str, tuple[str, ...]]
    specification: dict[str, Any]
    trees: int
    data: dict[str, Any]
    arrival: str
    label: dict[str, Any]
    split: dict[str, Any]
    metrics: dict[str, Any]
    libraries: dict[str, str]
    classes: tuple[str, ...] = ()
    onnx: Binding | None = None
    calibration: Calibration | None = None
    alternatives: dict[str, Any] = {}

    def canonical(self) -> bytes:
        """JSON with sorted keys and no spaces."""
        return msgspec.json.encode(self, order="sorted")


_MANIFEST = msgspec.json.Decoder(Manifest)


@dataclass(frozen=True, slots=True)
class Artefact:
    """A model file and its manifest."""

    content: bytes
    manifest: Manifest

    @property
    def id(self) -> str:
        """SHA-256 of the manifest's canonical bytes, in hexadecimal."""
        return hashlib.sha256(b"headrace/model/v1\0" + self.manifest.canonical()).hexdigest()

    def save(self, folder: Path) -> Path:
        """Write the artefact below `folder`, in a folder called by its id, and return that.

        It is written beside its place and moved there whole, so no reader sees half of it.
        """
        home = folder / self.id
        if home.exists():
            return home
        draft = folder / f".{self.id}.draft"
        draft.mkdir(parents=True, exist_ok=True)
        (draft / _FILE_NAMES[self.manifest.form]).write_bytes(self.content)
        (draft / "manifest.json").write_bytes(
            msgspec.json.format(self.manifest.canonical(), indent=2)
        )
        (draft / "card.md").write_text(model_card(self))
        draft.rename(home)
        return home

    @staticmethod
    def load(home: Path) -> Artefact:
        """Read an artefact and check that it is what its name says.

        Raises:
            ArtefactError: When a file is missing or was changed.
        """
        try:
            manifest = _MANIFEST.decode((home / "manifest.json").read_bytes())
            content = (home / _FILE_NAMES[manifest.form]).read_bytes()
        except (OSError, KeyError, msgspec.DecodeError) as broken:
            raise ArtefactError(
                f"the model in {home} cannot be read: {broken}; train it again or restore it"
            ) from broken
        artefact = Artefact(content, manifest)
        found = hashlib.sha256(content).hexdigest()
        if found != manifest.model_sha256:
            raise ArtefactError(
                f"the model file in {home} has SHA-256 {found}, its manifest says"
                f" {manifest.model_sha256}: it was changed; restore it, or train again"
            )
        if artefact.id != home.name:
            raise ArtefactError(
                f"the manifest in {home} makes the id {artefact.id}: it was changed; restore it"
            )
        return artefact


def model_card(artefact: Artefact) -> str:
    """The manifest for people, as Markdown."""
    manifest = artefact.manifest
    assumed = (
        " History said only when events happened, so equality with live scores is not claimed."
    )
    use = (
        "Scores events of the use case it was trained for, with the features named below, as one"
        " input of a policy. It is not meant for events of another definition."
    )
    lines = [
        "# Model card",
        "",
        f"Artefact `{artefact.id}`, trained for definition `{manifest.definition}`.",
        "",
        "## Intended use",
        "",
        use,
        "",
        "## Data",
        "",
        *_table(manifest.data),
        "",
        f"Arrival is **{manifest.arrival}**.{'' if manifest.arrival == 'known' else assumed}",
        "",
        "## Labels and split",
        "",
        *_table({**manifest.label, **manifest.split}),
        "",
        "## Metrics",
        "",
        *_table(manifest.metrics),
        "",
        "## Settings",
        "",
        *_table(
            {
                **({"trees kept": manifest.trees} if manifest.trees else {}),
                **manifest.specification,
                **manifest.libraries,
            }
        ),
        "",
        "## Features",
        "",
        *[f"- `{name}`" for name in manifest.features],
        "",
        *_alternatives(manifest),
        *_scorecard(artefact),
    ]
    return "\n".join(lines)


def _alternatives(manifest: Manifest) -> list[str]:
    found = manifest.alternatives
    if not found:
        return []
    figures = []
    for title in ("declared", "chosen"):
        for name, value in found[title].items():
            said = value
            if isinstance(value, dict):
                said = (
                    f"impact ratio {value['impact ratio']:.3f} ± {value['standard error']:.3f},"
                    f" difference of approval {value['difference']:.3f}"
                )
            figures.append((f"{title}: {name}", said))
    rows = {name: found[name] for name in ("tried", "events", "folds", "approved", "front")}
    return [
        "## Less discriminatory alternatives",
        "",
        f"Chosen because: {found['because']}",
        "",
        *_table({**rows, **dict(figures)}),
        "",
    ]


def _scorecard(artefact: Artefact) -> list[str]:
    if artefact.manifest.form != "scorecard-json":
        return []
    return ["## Scorecard", "", table(artefact.content, artefact.manifest.vocabulary), ""]


def _table(rows: dict[str, Any]) -> list[str]:
    return [
        "| | |",
        "|---|---|",
        *[f"| {name} | {_shown(value)} |" for name, value in rows.items()],
    ]


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
