"""The lexicon on Open-I: what its rules read in the reports against the MeSH terms that people assigned, per finding.

    python scripts/lexicon_open_i.py FOLDER [--json out.json]

FOLDER holds the XML reports (``ecgen-radiology``; torchxrayvision ships them as ``NLMCXR_reports.tgz``). A finding is read when a report
says without hedging that it is there, and it has not resolved. MeSH terms were assigned from the same reports, so this is agreement between
readers of a text. Intervals: percentile bootstrap over reports, 1,000 replicates.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medvl.data.open_i import read_studies
from medvl.lexicon.concepts import load
from medvl.lexicon.structure import Row, structure
from medvl.metrics.bootstrap import Statistic, estimate, resample
from medvl.records import Study

SPINE = ("Thoracic Vertebrae", "Lumbar Vertebrae", "Spine", "Spondylosis", "Osteophyte", "Arthritis")
DEVICES = (
    "Implanted Medical Device", "Medical Device", "Surgical Instruments", "Catheters, Indwelling", "Sutures", "Stents", "Tube, Inserted",
)  # fmt: skip
FINDINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # name → concepts, MeSH terms
    "normal": ((), ("normal",)),
    "cardiomegaly": (("cardiomegaly",), ("Cardiomegaly",)),
    "pleural effusion": (("pleural_effusion",), ("Pleural Effusion",)),
    "atelectasis": (("atelectasis",), ("Pulmonary Atelectasis",)),
    "pneumothorax": (("pneumothorax",), ("Pneumothorax",)),
    "edema": (("pulmonary_edema",), ("Pulmonary Edema",)),
    "pulmonary congestion": (("pulmonary_vascular_congestion",), ("Pulmonary Congestion",)),
    "pneumonia": (("pneumonia",), ("Pneumonia",)),
    "consolidation": (("consolidation",), ("Consolidation",)),
    "opacity, infiltrate": (("lung_opacity",), ("Opacity", "Infiltrate", "Airspace Disease", "Consolidation", "Pulmonary Atelectasis")),
    "nodule": (("nodule",), ("Nodule", "Granuloma", "Calcified Granuloma")),
    "mass": (("mass",), ("Mass",)),
    "granuloma": (("granuloma", "granulomatous_disease"), ("Granuloma", "Calcified Granuloma", "Granulomatous Disease")),
    "emphysema": (("emphysema",), ("Emphysema", "Pulmonary Emphysema")),
    "copd": (("copd",), ("Pulmonary Disease, Chronic Obstructive",)),
    "hyper- or hypoinflation": (("hyperinflation", "low_lung_volumes"), ("Lung",)),  # "Lung/hyperdistention", "Lung/hypoinflation"
    "scar": (("scarring",), ("Cicatrix",)),
    "pleural thickening": (("pleural_thickening", "fissural_thickening"), ("Thickening",)),
    "aortic tortuosity": (("aortic_elongation",), ("Aorta, Thoracic", "Aorta")),
    "fracture": (("fracture",), ("Fractures, Bone",)),
    "degenerative change": (("degenerative_change",), SPINE),
    "scoliosis": (("scoliosis",), ("Scoliosis",)),
    "hiatal hernia": (("hiatal_hernia",), ("Hernia, Hiatal",)),
    "catheter": (("central_venous_line",), ("Catheters, Indwelling",)),
    "device, instrument": (("support_device", "sternotomy", "coronary_bypass"), DEVICES),
}  # fmt: skip
ABNORMAL = ("finding", "device", "procedure")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    studies = [s for s in read_studies(arguments.folder) if s.report is not None and s.labels.get("mesh")]
    readings, milliseconds = read(studies)
    table = compare(studies, readings)
    show(table, len(studies), milliseconds)
    if arguments.json:
        arguments.json.write_text(json.dumps({"reports": len(studies), "milliseconds": milliseconds, "findings": table}, indent=1))


def read(studies: Sequence[Study]) -> tuple[list[list[Row]], float]:
    """Rows of the findings and impression of each study, and the median time per report in milliseconds."""
    load("en")
    readings, times = [], []
    for study in studies:
        sections = study.report.sections if study.report else {}
        text = "\n\n".join(sections[name] for name in ("findings", "impression") if name in sections)
        start = time.perf_counter()
        readings.append(structure(text))
        times.append(1000 * (time.perf_counter() - start))
    return readings, statistics.median(times)


def compare(studies: Sequence[Study], readings: Sequence[Sequence[Row]]) -> dict[str, dict[str, object]]:
    """Finding → its counts, precision, recall, F1 and kappa, each with its interval."""
    weights = resample([s.study_id for s in studies])
    table: dict[str, dict[str, object]] = {}
    for name, (concepts, terms) in FINDINGS.items():
        told = np.array([any(t in s.labels["mesh"] for t in terms) for s in studies])
        found = np.array([is_read(rows, concepts) for rows in readings])
        row: dict[str, object] = {"mesh": int(told.sum()), "read": int(found.sum())}
        for measure, statistic in agreement(told, found).items():
            value = estimate(statistic, weights)
            row[measure] = [value.value, value.ci_low, value.ci_high]
        table[name] = row
    return table


def is_read(rows: Sequence[Row], concepts: Sequence[str]) -> bool:
    """Whether a report says that one of the concepts is there; without concepts, that nothing abnormal is."""
    vocabulary = load("en")
    present = [r for r in rows if r.status == "positive" and r.certainty == "definitive" and r.change != "resolved"]
    if not concepts:
        return not any(vocabulary.concepts[r.concept].kind in ABNORMAL for r in present)
    return any(vocabulary.is_a(r.concept, c) for r in present for c in concepts)


def agreement(told: NDArray[np.bool_], found: NDArray[np.bool_]) -> dict[str, Statistic]:
    """Precision, recall, F1 and Cohen's kappa of weighted reports."""
    cells = np.stack([told & found, ~told & found, told & ~found, ~told & ~found], axis=1).astype(float)  # (N, 4)

    def ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)

    def kappa(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        both, only_found, only_told, neither = (weights @ cells).T
        total = both + only_found + only_told + neither
        chance = ((both + only_found) * (both + only_told) + (only_told + neither) * (only_found + neither)) / total
        return ratio(both + neither - chance, total - chance)

    return {
        "precision": lambda w: ratio((w @ cells)[:, 0], (w @ cells)[:, 0] + (w @ cells)[:, 1]),
        "recall": lambda w: ratio((w @ cells)[:, 0], (w @ cells)[:, 0] + (w @ cells)[:, 2]),
        "f1": lambda w: ratio(2 * (w @ cells)[:, 0], 2 * (w @ cells)[:, 0] + (w @ cells)[:, 1] + (w @ cells)[:, 2]),
        "kappa": kappa,
    }


def show(table: dict[str, dict[str, object]], reports: int, milliseconds: float) -> None:
    print(f"{reports} reports with MeSH terms, median {milliseconds:.2f} ms a report")
    print("| finding | MeSH | read | precision | recall | F1 (95 % CI) | kappa |\n|---|---|---|---|---|---|---|")
    for name, row in table.items():
        p, r, f, k = (row[m] for m in ("precision", "recall", "f1", "kappa"))
        cells = [f"{v[0]:.2f}" if v[0] is not None else "–" for v in (p, r, f, k)]  # type: ignore[index]
        ci = f" ({f[1]:.2f}–{f[2]:.2f})" if f[1] is not None else ""  # type: ignore[index]
        print(f"| {name} | {row['mesh']} | {row['read']} | {cells[0]} | {cells[1]} | {cells[2]}{ci} | {cells[3]} |")


if __name__ == "__main__":
    main()
