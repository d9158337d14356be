"""Sites of labelled films (ChestX-ray14, RSNA, SIIM, CheXpert, VinDr-CXR, CANDID-PTX): their readers find what the world's facts say."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from medvl.data import candid_ptx, chexpert, nih_cxr14, rsna_pneumonia, siim_ptx, vindr_cxr
from medvl.data.dicom import read_radiograph
from medvl.phantom.cohort import make_cohort
from medvl.phantom.export import candid_ptx as candid_export
from medvl.phantom.export import rsna_pneumonia as rsna_export
from medvl.phantom.export import siim_acr
from medvl.phantom.export import vindr_cxr as vindr_export
from medvl.phantom.export.settings import SITES
from medvl.phantom.facts import Difficulty
from medvl.phantom.labels import chexpert_labels
from medvl.phantom.radiograph import render
from medvl.phantom.reports import write_report
from medvl.phantom.world import sample_patient

SEED, SIZE, PATIENTS = 14, 64, 10  # of each site
LAYOUTS = ("nih_cxr14", "rsna_pneumonia", "siim_acr", "chexpert", "vindr_cxr", "candid_ptx")


STRUCTURES = (  # as masks name it, as the facts do, as labels do
    ("pneumothorax", "pneumothorax", "Pneumothorax"),
    ("chest_tube", "chest_tube", "Chest tube"),
    ("rib_fracture", "fracture", "Rib fracture"),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    out = tmp_path_factory.mktemp("labelled")
    make_cohort(out, patients=4 * PATIENTS, size=SIZE, seed=SEED, layouts=LAYOUTS, workers=1, progress=False)
    return out


def patients(site):
    return [sample_patient(SITES[site].first + i, seed=SEED) for i in range(PATIENTS)]


def frontals(site):
    """(patient, visit, acquisition) of every frontal film that names its projection."""
    shots = [(p, v, a) for p in patients(site) for v in p.visits for a in v.acquisitions]
    return [(p, v, a) for p, v, a in shots if a.projection in ("PA", "AP") and not a.view_position_missing]


def test_chest_xray14_films_are_the_worlds_with_sex_age_projection_and_split(root):
    studies = list(nih_cxr14.read_studies(root / "nih-cxr14"))

    facts = [(p.sex, p.age + v.time.year - p.visits[0].time.year, a.projection, p.split == "test") for p, v, a in frontals("nih")]
    assert [(s.sex, s.age, s.views[0].projection, s.split == "test") for s in studies] == facts
    assert len({s.study_id for s in studies}) == len(studies)
    for study in studies:
        assert read_radiograph(study.views[0].path).pixels.shape == (SIZE, SIZE)


def test_chest_xray14_boxes_are_of_positive_findings_in_the_test_list(root):
    studies = [s for s in nih_cxr14.read_studies(root / "nih-cxr14") if s.phrases]

    assert studies
    assert {s.split for s in studies} == {"test"}
    for study in studies:
        assert all(study.labels["nih_cxr14"][phrase.labels[0]] == "positive" for phrase in study.phrases)


def test_rsna_classes_follow_the_facts_and_the_test_films_are_unlabelled(root):
    read = {s.study_id: s for s in rsna_pneumonia.read_studies(root / "rsna-pneumonia", with_unlabelled=True)}

    classes = set()
    for patient, visit, acquisition in frontals("nih"):
        study = read.pop(_rsna_id(acquisition))
        assert (study.split == "unlabelled") == (patient.split == "test")
        assert (study.sex, study.views[0].projection) == (patient.sex, acquisition.projection)
        if patient.split != "test":
            (name,) = (n for n, value in study.labels["rsna_pneumonia"].items() if value == "positive")
            opaque = any(f.name in rsna_export.OPACITIES for f in visit.findings)
            assert opaque or name != "Lung Opacity"
            assert (name == "Normal") == (not visit.findings and not visit.devices)
            classes.add(name)
    assert not read
    assert "Lung Opacity" in classes
    assert len(classes) > 1


def test_siim_masks_are_where_the_pneumothorax_is(root):
    studies = {s.study_id: s for s in siim_ptx.read_studies(root / "siim-ptx")}

    films = {siim_acr.image_id(_View(a)): (p, v) for p, v, a in frontals("nih") if p.split != "test"}
    assert set(studies) == set(films)
    shown = 0
    for name, study in studies.items():
        mask = siim_ptx.read_mask(study.masks["pneumothorax"])
        has = any(f.name == "pneumothorax" for f in films[name][1].findings)
        assert mask.any() == (study.labels["siim_ptx"]["Pneumothorax"] == "positive")
        assert has or not mask.any()
        shown += bool(mask.any())
        assert read_radiograph(study.views[0].path).pixels.shape == (SIZE, SIZE)
    assert shown


def test_vindr_training_films_have_three_readers_and_a_patient_each(root):
    studies = {s.study_id: s for s in vindr_cxr.read_studies(root / "vindr-cxr")}

    marked = 0
    for study in studies.values():
        readers = [source for source in study.labels if source != "vindr_cxr"]
        assert len(readers) == (0 if study.split == "test" else 3)
        for phrase in study.phrases:
            for boxes in phrase.boxes_by_reader.values():
                assert set(boxes) <= set(phrase.boxes)
                marked += len(boxes)
        assert study.patient_id == study.study_id
        assert study.age is not None
    assert marked
    known = {vindr_export.image_id(_View(a)): p for p, _, a in frontals("vindr_cxr") if a.projection == "PA"}
    assert set(studies) <= set(known)
    assert all(studies[name].sex == known[name].sex for name in studies)


def test_vindr_test_boxes_are_the_lesions_themselves(root):
    drawn = [s for s in vindr_cxr.read_studies(root / "vindr-cxr") if s.split == "test"]
    assert drawn

    for study in drawn:
        positive = {name for name, value in study.labels["vindr_cxr"].items() if value == "positive"}
        assert {phrase.text for phrase in study.phrases} <= positive
        assert ("No finding" in positive) == (not study.phrases)


def test_candid_ptx_films_are_the_worlds_with_patient_sex_age_projection_and_report(root):
    studies = {s.study_id: s for s in candid_ptx.read_studies(root / "candid-ptx")}

    numbers = {p.patient_id: f"P{i + 1}" for i, p in enumerate(patients("candid_ptx"))}
    for patient, visit, acquisition in frontals("candid_ptx"):
        study = studies.pop(candid_export.image_id(_View(acquisition)))
        assert (study.patient_id, study.sex) == (numbers[patient.patient_id], patient.sex)
        assert study.age == patient.age + visit.time.year - patient.visits[0].time.year
        assert study.views[0].projection == acquisition.projection
        assert read_radiograph(study.views[0].path).pixels.shape == (SIZE, SIZE)
        told = [sentence.texts["en"] for sentence in write_report(patient, visit, seed=SEED).sentences]
        assert all(sentence in study.report.text for sentence in told)
    assert not studies


def test_candid_ptx_films_of_one_study_share_its_identifier_and_have_their_own(root):
    table = pd.read_csv(root / "candid-ptx/Pneumothorax_reports.csv", dtype=str)

    assert list(table.columns) == ["filename", "SOPInstanceUID", "StudyInstanceUID", "Report", "EncodedPixels"]
    films = Counter((p.patient_id, v.study_id) for p, v, _ in frontals("candid_ptx"))
    assert sorted(table.groupby("StudyInstanceUID").SOPInstanceUID.nunique()) == sorted(films.values())
    assert max(films.values()) > 1
    assert table.groupby("SOPInstanceUID").filename.nunique().eq(1).all()


def test_candid_ptx_masks_and_labels_are_where_lesion_tube_and_fracture_are(root):
    studies = {s.study_id: s for s in candid_ptx.read_studies(root / "candid-ptx")}

    shown = Counter()
    for patient, visit, acquisition in frontals("candid_ptx"):
        study = studies[candid_export.image_id(_View(acquisition))]
        film = render(patient, visit, acquisition, SIZE)
        facts = [(f.name, f.lesion_id) for f in visit.findings] + [(d.name, d.device_id) for d in visit.devices]
        for structure, fact, label in STRUCTURES:
            true = sum((film.masks[name] for kind, name in facts if kind == fact), np.zeros(film.display.shape, bool))
            mask = candid_ptx.read_mask(study.masks[structure])
            np.testing.assert_array_equal(_at_pixels(mask, true.shape), true)
            assert study.labels["candid_ptx"][label] == ("positive" if true.any() else "negative")
            shown[structure] += bool(true.any())
    assert all(shown[structure] for structure, *_ in STRUCTURES)


def test_chexpert_labels_are_those_of_the_labeller_and_every_film_is_a_view(root):
    studies = {s.study_id: s for s in chexpert.read_studies(root / "chexpert")}

    expected = {f"patient{i + 1:05d}_study{v.index + 1}": (p, v) for i, p in enumerate(patients("chexpert")) for v in p.visits}
    assert set(studies) == set(expected)
    for name, (patient, visit) in expected.items():
        noise = Difficulty().label_noise if patient.split == "train" else 0.0
        report = write_report(patient, visit, seed=SEED)
        told = chexpert_labels(report, noise=noise, key=f"{SEED} chexpert {visit.study_id}")
        assert studies[name].labels["chexpert"] == told
        laterals = [v.projection == "LATERAL" for v in studies[name].views]
        assert sorted(laterals) == sorted(a.projection == "LATERAL" for a in visit.acquisitions)
        assert studies[name].sex == (patient.sex if patient.split != "test" else None)
        assert all(v.path for v in studies[name].views)


def _at_pixels(mask, shape):
    """A mask on the grid, looked up at the centre of each pixel of a film."""
    rows, columns = (((np.arange(n) + 0.5) * len(mask) / n).astype(int) for n in shape)
    return mask[np.ix_(rows, columns)]


class _View:
    """As much of an exported view as an identifier needs."""

    def __init__(self, acquisition):
        self.view_id = acquisition.view_id


def _rsna_id(acquisition):
    return rsna_export.image_id(_View(acquisition))
