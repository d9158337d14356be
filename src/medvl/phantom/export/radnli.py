"""RadNLI: pairs of radiology sentences that entail, contradict or leave each other open, as JSON lines (Miura et al. 2021).

``radnli_dev_v1.jsonl`` and ``radnli_test_v1.jsonl``, half of the test patients each; English, as the release.
"""

from __future__ import annotations

import json
from pathlib import Path

from medvl.phantom.draws import generator
from medvl.phantom.export.study import ExportedStudy, Rows
from medvl.phantom.export.tables import Parts, write_lines
from medvl.phantom.sentence_pairs import sentence_pairs

SUBSET = "RadNLI"


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """A test patient's pairs, at the last visit."""
    if study.patient.split != "test" or not study.is_last:
        return {}
    part = "dev" if generator(study.seed, "radnli", study.patient.patient_id).random() < 0.5 else "test"
    pairs = [p for p in sentence_pairs([study.patient], seed=study.seed) if p.subset == SUBSET and p.language == "en"]
    return {part: [{"sentence1": p.text_1, "sentence2": p.text_2, "gold_label": p.relation} for p in pairs]}


def write_tables(out: Path, parts: Parts) -> None:
    """Write both files; a pair that several patients gave stands once."""
    for part in ("dev", "test"):
        unique = {(row["sentence1"], row["sentence2"]): row for row in parts.rows(part)}
        lines = (json.dumps({"pair_id": f"{part}-{i}", **row}, ensure_ascii=False) for i, row in enumerate(unique.values(), start=1))
        write_lines(out / "radnli" / f"radnli_{part}_v1.jsonl", lines)
