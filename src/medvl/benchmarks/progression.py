"""MS-CXR-T, temporal image classification: did a finding improve, stay or worsen between two films (BioViL-T, Bannur et al., CVPR 2023).

Macro accuracy per finding and its mean over findings, with intervals over patients. Published figures come from protocols that cannot be
compared (P0, A, B, C; see ``progression_protocols``), so a protocol's name stands in the name of every figure. The model that reads the
pair in one pass (``temporal``) stands beside the current film alone, the two films encoded alone, and those after registration, each
under the same protocol on the same pairs, with paired differences. The paper's baseline encodes the films apart with another model, one
that was trained on single films (BioViL): given as ``static``, its arms are ``static_concatenated`` and ``static_registered``. Two
controls ask whether the model reads the pair at all: with the films exchanged improving must become worsening, and without the previous
film it must fall to what the current film tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from medvl.benchmarks.embedding import RadiographSource
from medvl.benchmarks.progression_figures import ProgressionFigures, by_seed, prediction_table
from medvl.benchmarks.progression_films import Arm, PairImages, RegisteredImages
from medvl.benchmarks.progression_pairs import (
    MissingImages,
    NoProgressionPairs,
    PairSplits,
    check_disjoint,
    class_counts,
    label_sources,
    usable_pairs,
)
from medvl.benchmarks.progression_protocols import Predictions, ProgressionProtocol
from medvl.benchmarks.results import Evaluation
from medvl.data.progression_samples import ProgressionPair
from medvl.data.transforms import Fit
from medvl.metrics.progression import CLASSES
from medvl.metrics.scores import function_name
from medvl.runtime.privacy import strictest

FINDINGS = ("consolidation", "edema", "pleural_effusion", "pneumonia", "pneumothorax")


@dataclass(frozen=True)
class ProgressionClassification:
    """The benchmark; ``evaluate`` runs it.

    Attributes:
        protocol: how a model comes to a class.
        crop, short_side, fit: how a film becomes the model's input; see ``image_batches``.
        findings: whose change is classified.
        baselines: arms beside ``temporal``; those that the protocol is not defined for are left out and named.
        static: folder of a model trained on single films, for the paper's baseline; none by default.
        registration: from the prepared images to registered previous films, for the baseline ``registered``.
        missing_images: what happens to a pair of which a film has no prepared image.
        macro_over: findings in the headline figures; all by default.
        batch_size: pairs encoded at once.
        replicates, seed: of the bootstrap over patients.
    """

    protocol: ProgressionProtocol
    crop: int
    short_side: int | None = None
    fit: Fit = "crop"
    findings: Sequence[str] = FINDINGS
    baselines: Sequence[Arm] = ("current", "concatenated")
    static: str | None = None
    registration: Callable[..., RegisteredImages] | None = None
    missing_images: MissingImages = "error"
    macro_over: Sequence[str] | None = None
    batch_size: int = 32
    replicates: int = 1000
    seed: int = 0
    name: Literal["progression"] = field(default="progression", init=False)

    def __post_init__(self) -> None:
        if "registered" in self.baselines and self.registration is None:
            raise NoProgressionPairs("baselines names 'registered', which needs `registration`")
        for finding in self.macro_over or ():
            if finding not in self.findings:
                raise NoProgressionPairs(f"macro_over names {finding!r}, which is not among the findings ({', '.join(self.findings)})")

    def evaluate(
        self,
        model: Any,
        images: RadiographSource,
        pairs: PairSplits,
        *,
        untrained: Any = None,
        static: Any = None,
    ) -> Evaluation:
        """Measure a model, and an untrained one beside it.

        Args:
            model: an image-text model in evaluation mode, as are the others; its ``image`` takes (current, previous, has_previous).
            images: the prepared images.
            pairs: by what they are for.
            untrained: the same architecture before training.
            static: the model of ``self.static``, whose ``image`` takes single films.

        Raises:
            NoProgressionPairs: if a part has no pair, or patients of the test are in training.
            UnknownProgression: for a label that is no class.
            MissingPairImage: for a pair without its images, unless they are left out.
        """
        used = self._usable(images, pairs)
        registered = self.registration(images) if self.registration is not None else None
        source = PairImages(images, self.crop, self.short_side, self.fit, registered, self.batch_size)
        arms: list[Arm] = [*(arm for arm in self.baselines if arm in self.protocol.arms), "temporal"]
        said: dict[str, Predictions] = dict(self.protocol.predict(model, source, arms, self.findings, used).items())
        if static is not None:
            apart: list[Arm] = [arm for arm in arms if arm in ("concatenated", "registered")]
            beside = self.protocol.predict(static, source, apart, self.findings, used)
            said |= {f"static_{arm}": predictions for arm, predictions in beside.items()}
        if untrained is not None:
            said["untrained"] = self.protocol.predict(untrained, source, ["temporal"], self.findings, used)["temporal"]
        tested, name = said["temporal"].pairs, f"{self.name}_{self.protocol.name}"
        metrics, per_finding = ProgressionFigures(said, tested, self.findings, self.macro_over, name, self.replicates, self.seed).figures()
        return Evaluation(
            benchmark=name,
            metrics=metrics,
            per_finding=per_finding,
            protocol=self._described(said, {"training": used.train, "validation": used.validation, "test": tested}, pairs),
            tables={f"{name}_predictions": prediction_table(said, tested, self.findings)},
            privacy=strictest(pair.privacy for pair in (*used.train, *used.validation, *used.test)),
        )

    def _usable(self, images: RadiographSource, pairs: PairSplits) -> PairSplits:
        """The pairs that the protocol needs, with a label and, unless errors are asked for, with both images."""

        def usable(part: str, given: Sequence[ProgressionPair]) -> list[ProgressionPair]:
            return usable_pairs(images, given, self.findings, part, self.missing_images)

        test = usable("test", pairs.test)
        if not self.protocol.needs_training_pairs:
            return PairSplits([], [], test)
        used = PairSplits(usable("training", pairs.train), usable("validation", pairs.validation) if pairs.validation else [], test)
        check_disjoint([*used.train, *used.validation], test)
        return used

    def _described(
        self, said: Mapping[str, Predictions], parts: Mapping[str, Sequence[ProgressionPair]], given: PairSplits
    ) -> dict[str, Any]:
        """What results say of it."""
        plain = ("crop", "short_side", "fit", "static", "missing_images", "replicates", "seed")
        return {
            "protocol": self.protocol.described(),
            **{name: getattr(self, name) for name in plain},
            "findings": list(self.findings),
            "macro_over": None if self.macro_over is None else list(self.macro_over),
            "classes": list(CLASSES),
            "arms": list(said),
            "undefined_arms": [arm for arm in self.baselines if arm not in self.protocol.arms],
            "registration": _registration(self.registration),
            "label_sources": label_sources(parts),
            "pairs": {name: len(pairs) for name, pairs in parts.items()},
            "pairs_given": {"training": len(given.train), "validation": len(given.validation), "test": len(given.test)},
            "patients": {name: len({pair.patient_id for pair in pairs}) for name, pairs in parts.items()},
            "classes_by_finding": {name: class_counts(pairs, self.findings) for name, pairs in parts.items()},
            "macro_accuracy_by_seed": by_seed(said, parts["test"], self.findings, "test"),
            "validation_macro_accuracy_by_seed": by_seed(said, parts["validation"], self.findings, "validation"),
            "chosen": {name: dict(predictions.chosen) for name, predictions in said.items()},
        }


def _registration(factory: Callable[..., RegisteredImages] | None) -> dict[str, Any] | None:
    """The factory's name and options."""
    if factory is None:
        return None
    return {"name": function_name(getattr(factory, "func", factory)), **getattr(factory, "keywords", {})}
