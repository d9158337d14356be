"""Entity and status of the phantom's reports against what the structurer reads: precision, recall, F1.

Truth is the phantom's statements, one (subject, status) each; resolved counts as positive, as in Lunguage. A row answers a statement of
its sentence when its concept is the subject, or is, implies or (a normal organ)
rules it out, with equal status. A row that answers nothing is a false positive.
"""

from dataclasses import dataclass

from medvl.lexicon.concepts import load
from medvl.lexicon.structure import Row, structure
from medvl.phantom.reports import write_report
from medvl.phantom.statements import Statement
from medvl.phantom.world import sample_patient, split_of

BOTH = ("cardiomediastinal_silhouette", "enlarged_cardiomediastinum")
CONCEPTS = {
    "edema": {"pulmonary_edema", "pulmonary_vascular_congestion", "interstitial_opacity"},
    "lung_volumes": {"low_lung_volumes"},
    "opacity": {"lung_opacity", "infiltrate"},
    "atelectasis": {"atelectasis"},
    "chest": {"chest", "acute_process", "abnormality", "lung_abnormality"},
    "lungs": {"lungs", "lung_abnormality", "acute_process", "pulmonary_vasculature"},
    "heart": {"heart", "cardiomegaly", "cardiac_abnormality", *BOTH},
    "mediastinum": {"mediastinum", "enlarged_mediastinum", "mediastinal_abnormality", *BOTH},
    "pleura": {"pleura", "pleural_abnormality", "costophrenic_angles", "blunted_costophrenic_angle"},
    "bones": {"bones", "bone_abnormality", "ribs", "fracture", "spine"},
    "pacemaker": {"pacemaker"},
}  # fmt: skip


@dataclass
class Tally:
    hits: int = 0
    answered: int = 0
    rows: int = 0
    statements: int = 0

    @property
    def f1(self) -> float:
        precision, recall = self.hits / max(self.rows, 1), self.answered / max(self.statements, 1)
        return 2 * precision * recall / max(precision + recall, 1e-12)


def examine(language, split, *, seed, patients):
    """The tally over the reports of one split, and the sentences that were not read right."""
    tally, missed = Tally(), []
    for patient in _patients(split, seed, patients):
        for visit in patient.visits:
            for sentence in write_report(patient, visit, seed=seed).sentences:
                rows = structure(sentence.texts[language], language=language)
                answered = [any(_answers(r, s, language) for r in rows) for s in sentence.statements]
                hits = [any(_answers(r, s, language) for s in sentence.statements) for r in rows]
                tally.answered += sum(answered)
                tally.hits += sum(hits)
                tally.rows += len(rows)
                tally.statements += len(answered)
                if not all(answered + hits):
                    missed.append((sentence.texts[language], [(s.subject, s.status, s.change) for s in sentence.statements], rows))
    return tally, missed


def _patients(split, seed, count):
    found = 0
    for index in range(100 * count):
        if split_of(index, seed=seed) == split:
            found += 1
            yield sample_patient(index, seed=seed)
            if found == count:
                return


def _answers(row: Row, statement: Statement, language) -> bool:
    status = "positive" if statement.change == "resolved" else statement.status
    if row.status != status:
        return False
    meant = CONCEPTS.get(statement.subject, {statement.subject})
    vocabulary = load(language)
    return bool(meant & (vocabulary.ancestors(row.concept) | set(vocabulary.concepts[row.concept].rules_out)))
