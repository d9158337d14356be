"""Pairs of films with what changed between them, whatever words a dataset has for it.

MS-CXR-T (Bannur et al. 2023) labels five findings as improving, stable or worsening; Chest ImaGenome (Wu et al. 2021) compares many more,
as improved, no change or worsened, read from reports by rules. Both come as the five findings and three classes of MS-CXR-T: to fine-tune
on the second and test on the first. Findings of ImaGenome without a counterpart are left out, ``lung opacity`` for one, which any of the
five may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from medvl.data import chest_imagenome, ms_cxr_t
from medvl.data.prepared import PreparedDataset
from medvl.records import PrivacyPolicy, Progression

FINDINGS = {  # Chest ImaGenome's → MS-CXR-T's
    "consolidation": "consolidation",
    "pulmonary edema/hazy opacity": "edema",
    "pleural effusion": "pleural_effusion",
    "pneumonia": "pneumonia",
    "pneumothorax": "pneumothorax",
} | {name: name for name in ms_cxr_t.FINDINGS}
CLASSES = dict(zip(chest_imagenome.DIRECTIONS, ("improving", "worsening", "stable"), strict=True)) | {
    name: name for name in ms_cxr_t.CLASSES
}


class ProgressionPair(NamedTuple):
    """A current film, the film before it, and the change of each labelled finding.

    Attributes:
        dataset: whose labels they are, e.g. ``ms_cxr_t``.
        patient_id, study_id: of the current study.
        view_id, previous_view_id: the two films.
        labels: finding (``pleural_effusion``) → ``improving``, ``stable`` or ``worsening``; findings that are not labelled are absent.
        privacy: what may leave the machine.
    """

    dataset: str
    patient_id: str
    study_id: str
    view_id: str
    previous_view_id: str
    labels: Mapping[str, str]
    privacy: PrivacyPolicy = "local_only"


def prepared_pairs(prepared: PreparedDataset, *, split: str | None = None) -> list[ProgressionPair]:
    """The studies of a prepared dataset that have a progression and the film before, in manifest order.

    The films are the frontal in use of the study and of its prior. Chest ImaGenome compares with the study before, which is the same
    unless that one has no frontal film here.

    Args:
        split: only studies of this split; all if not given.
    """
    given, splits, patients = prepared.columns("dataset", "progression"), prepared.column("split"), prepared.column("patient_id")
    found = []
    for row, study_id in enumerate(prepared.column("study_id")):
        if split not in (None, splits[row]):
            continue
        told = {item["key"]: Progression(**item["value"]) for item in given["progression"][row].as_py() or ()}
        if not (labels := progression_labels(told)):
            continue
        view_id, previous = prepared.frontals[row], prepared.prior_view(study_id)
        if view_id and previous:
            silver = all(progression.quality == chest_imagenome.QUALITY for progression in told.values())
            source = "chest_imagenome" if silver else given["dataset"][row].as_py()
            found.append(ProgressionPair(source, patients[row], study_id, view_id, previous, labels, prepared.privacy))
    return found


def named_pairs(pairs: Iterable[ms_cxr_t.ImagePair]) -> Iterator[ProgressionPair]:
    """The pairs of MS-CXR-T with the films that its rows name, those with a label, in order."""
    for current, prior in pairs:
        if labels := progression_labels(current.progression):
            films = current.views[0].view_id, prior.views[0].view_id
            yield ProgressionPair(current.dataset, current.patient_id, current.study_id, *films, labels, current.privacy)


def progression_labels(told: Mapping[str, Progression]) -> dict[str, str]:
    """What datasets say of a study's changes, in MS-CXR-T's findings and classes; where both do, MS-CXR-T's own word wins.

    Returns:
        Finding → class, in the order of ``medvl.data.ms_cxr_t.FINDINGS``.
    """
    own_last = sorted(told, key=lambda name: name in ms_cxr_t.FINDINGS)
    labels = {FINDINGS[name]: CLASSES[told[name].label] for name in own_last if name in FINDINGS and told[name].label in CLASSES}
    return {name: labels[name] for name in ms_cxr_t.FINDINGS if name in labels}
