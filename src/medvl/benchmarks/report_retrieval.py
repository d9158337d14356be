"""Reports without a generator: the report of the nearest training study, and one normal report for everybody.

Retrieval after CXR-RePaiR (Endo et al. 2021) and BioViL: with the image's embedding v and each training report's t, of unit length,

    prediction = the report of argmax v·t

Both are the floor that a report generator has to leave below it: on reports that are mostly normal a constant one scores well in overlap of
words and finds nothing. One row per study with the section and a prepared frontal view; an untrained model retrieves as well, beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal

import pandas as pd
import torch

from medvl.benchmarks.embedding import ImageTextEncoder, RadiographSource, device_of, image_batches, text_embeddings
from medvl.benchmarks.findings_task import Splits
from medvl.benchmarks.report_metrics import OnTexts, ReportMetric
from medvl.benchmarks.report_scores import Bootstrap, Result, score, units
from medvl.benchmarks.results import Evaluation, figure
from medvl.data.report_samples import ReportSample
from medvl.data.transforms import Fit
from medvl.judges.judge import Judge
from medvl.metrics.bootstrap import estimate, resample
from medvl.records import Study
from medvl.runtime.errors import UserError, did_you_mean
from medvl.runtime.privacy import strictest

Metric = ReportMetric | partial[Any]
NORMAL = "normal"  # the system that says the same of everybody


class NothingToRetrieve(UserError):
    """No training report to retrieve, no test study to retrieve one for, or a statistic that no metric gives."""


@dataclass(frozen=True)
class ReportRetrieval:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        metrics: name → metric, as the files of ``configs/metric`` make them; functions of texts get the reports as text.
        statistics: ``metric/statistic`` of the headline figures; everything per study is in the table ``reports``.
        crop, short_side, fit: how an image becomes the model's input; see ``image_batches``.
        judge: asked by the metrics that need one.
        section: of the reports that is retrieved and compared.
        normal: the constant report; the words are ours.
        batch_size: images encoded at once.
        replicates, seed: of the bootstrap over patients.
    """

    metrics: Mapping[str, Metric]
    statistics: Sequence[str]
    crop: int
    normal: str
    judge: Judge | None = None
    section: str = "findings"
    short_side: int | None = None
    fit: Fit = "crop"
    batch_size: int = 32
    replicates: int = 1000
    seed: int = 0
    name: Literal["report_retrieval"] = field(default="report_retrieval", init=False)

    def evaluate(
        self, model: ImageTextEncoder, images: RadiographSource, splits: Splits, *, untrained: ImageTextEncoder | None = None
    ) -> Evaluation:
        """Retrieve with a model, and with an untrained one beside it, and score both and the constant report.

        Raises:
            NothingToRetrieve: if no training report or no test study is left, or a statistic is not known.
        """
        pool = list(dict.fromkeys(text for study in splits.train if (text := self._text(study))))
        asked = {view.view_id: study for study in splits.test if (view := study.frontal()) is not None and self._text(study)}
        models = {"trained": model} | ({"untrained": untrained} if untrained is not None else {})
        said = {role: self._retrieved(candidate, images, list(asked), pool) if pool else {} for role, candidate in models.items()}
        shown = [view_id for view_id in asked if view_id in said["trained"]]
        if not shown:
            raise NothingToRetrieve(
                f"{len(pool)} training reports and {len(asked)} test studies have {self.section!r}, and no image is at hand"
            )
        said[NORMAL] = dict.fromkeys(shown, self.normal)
        systems = {role: self._scored([self._sample(asked[view], texts[view]) for view in shown]) for role, texts in said.items()}
        return Evaluation(
            benchmark=self.name,
            metrics={f"reports_{name.replace('/', '_')}": self._figure(name, systems) for name in self.statistics},
            per_finding={},
            protocol=self._protocol(systems["trained"], len(pool), len(splits.test)),
            tables={"reports": pd.concat([_table(role, result) for role, result in systems.items()], ignore_index=True)},
            privacy=strictest([*(study.privacy for study in splits.train), systems["trained"].privacy]),
        )

    @torch.inference_mode()
    def _retrieved(self, model: ImageTextEncoder, images: RadiographSource, view_ids: Sequence[str], pool: Sequence[str]) -> dict[str, str]:
        """View → the training report whose embedding is nearest; views without an image are left out."""
        by_text = text_embeddings(model, pool, truncate=True)
        texts = torch.stack([by_text[text] for text in pool])  # (N, D)
        found: dict[str, str] = {}
        for ids, pixels, _ in image_batches(images, view_ids, self.crop, self.short_side, self.fit, self.batch_size):
            embedded = model.embed_images(pixels.to(device_of(model))).projected_global_embedding.float().cpu()  # (B, D)
            found |= {view_id: pool[i] for view_id, i in zip(ids, (embedded @ texts.T).argmax(dim=1).tolist(), strict=True)}
        return found

    def _scored(self, samples: Sequence[ReportSample]) -> Result:
        metrics = {name: OnTexts(metric) if isinstance(metric, partial) else metric for name, metric in self.metrics.items()}
        return score(samples, metrics=metrics, judge=self.judge, bootstrap=Bootstrap(self.replicates, self.seed))

    def _figure(self, name: str, systems: Mapping[str, Result]) -> dict[str, Any]:
        """One headline figure: retrieved, retrieved by the untrained model, and the constant report under ``constant``."""
        metric, _, statistic = name.partition("/")
        known = {f"{m}/{s}" for m, scores in systems["trained"].scores.items() for s in scores.statistics}
        if name not in known:
            raise NothingToRetrieve(f"statistics: there is no {name!r}{did_you_mean(name, known)}")
        samples = systems["trained"].samples
        weights = resample(units(samples), replicates=self.replicates, seed=self.seed)
        of = {role: result.scores[metric].statistics[statistic] for role, result in systems.items()}
        constant = asdict(estimate(of.pop(NORMAL), weights))
        return {**figure(of, weights), "constant": constant}

    def _text(self, study: Study) -> str:
        """The section on one line; empty where there is none."""
        return " ".join(study.report.sections.get(self.section, "").split()) if study.report else ""

    def _sample(self, study: Study, prediction: str) -> ReportSample:
        language = study.report.language if study.report else None
        return ReportSample(study.study_id, prediction, self._text(study), study.patient_id, study.dataset, language, study.privacy)

    def _protocol(self, result: Result, pool: int, studies: int) -> dict[str, Any]:
        options = ("section", "normal", "crop", "short_side", "fit", "batch_size", "replicates", "seed")
        return {
            **{name: getattr(self, name) for name in options},
            "statistics": list(self.statistics),
            "signatures": {name: scores.signature for name, scores in result.scores.items()},
            "judge": result.judge,
            "training_reports": pool,
            "studies": len(result.samples),
            "studies_left_out": studies - len(result.samples),
        }


def _table(role: str, result: Result) -> pd.DataFrame:
    """One row per study: identifiers, both reports, and every value per sample."""
    rows = pd.DataFrame(
        {
            "model": role,
            "dataset": [s.dataset for s in result.samples],
            "patient_id": [s.patient_id for s in result.samples],
            "study_id": [s.example_id for s in result.samples],
            "prediction": [s.prediction for s in result.samples],
            "reference": [s.reference for s in result.samples],
        }
    )
    values = {f"{name}/{v}": column for name, scores in result.scores.items() for v, column in scores.per_sample.items()}
    return pd.concat([rows, pd.DataFrame(values)], axis=1)
