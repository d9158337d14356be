"""The readers read the phantom's export back into what the world's facts say, as far as each layout can express it."""

from datetime import datetime

import pytest

from medvl.data import chest_imagenome, chexmask, mimic_cxr, mimic_iv, ms_cxr, ms_cxr_t, open_i, padchest_gr, radnli
from medvl.data.dicom import read_radiograph
from medvl.phantom.export.boxes import lesion_boxes
from medvl.phantom.export.chest_imagenome import COMPARISON
from medvl.phantom.export.ms_cxr import CATEGORIES
from medvl.phantom.export.settings import SITES
from medvl.phantom.export.study import frontal_acquisition
from medvl.phantom.facts import Difficulty, Patient, Visit
from medvl.phantom.labels import chexpert_labels, progression_labels
from medvl.phantom.radiograph import render
from medvl.phantom.reports import write_report
from medvl.phantom.sentence_pairs import sentence_pairs
from medvl.phantom.world import prior_of, sample_patient

SEED, PATIENTS, SIZE = 3, 14, 64


@pytest.fixture(scope="module")
def world() -> dict[str, tuple[Patient, Visit]]:
    """Study id → patient and visit of the shared cohort."""
    patients = [sample_patient(i, seed=SEED) for i in range(PATIENTS)]
    return {v.study_id: (p, v) for p in patients for v in p.visits}


@pytest.fixture(scope="module")
def studies(cohort_root):
    return list(mimic_cxr.read_studies(cohort_root / "mimic-cxr", jpg_root=cohort_root / "mimic-cxr-jpg"))


def milliseconds(time: datetime) -> datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def test_mimic_cxr_studies_are_the_visits_of_the_world(studies, world):
    assert {s.study_id for s in studies} == set(world)
    for study in studies:
        patient, visit = world[study.study_id]
        assert (study.patient_id, study.split, study.time) == (patient.patient_id, patient.split, milliseconds(visit.time))
        assert study.report.text == write_report(patient, visit, seed=SEED).text("en")


def test_mimic_cxr_views_keep_projection_and_size(studies, world):
    for study in studies:
        taken = {a.view_id: a for a in world[study.study_id][1].acquisitions}
        assert {v.view_id for v in study.views} == set(taken)
        for view in study.views:
            acquisition = taken[view.view_id]
            allowed = {"LATERAL": {"LATERAL", "LL"}}.get(acquisition.projection, {acquisition.projection})
            assert view.projection in ({None} if acquisition.view_position_missing else allowed)
            assert min(view.height, view.width) == SIZE
            assert view.orientation == ("Erect" if acquisition.erect else "Recumbent")


def test_mimic_cxr_labels_are_those_of_the_labeller(studies, world):
    for study in studies:
        report = write_report(*world[study.study_id], seed=SEED)
        noise = Difficulty().label_noise
        for source, share in {"chexpert": noise, "negbio": noise, "radiologist": 0.0}.items():
            expected = chexpert_labels(report, noise=share, key=f"{SEED} {source} {study.study_id}")
            read = study.labels.get("test_set" if source == "radiologist" else source)
            assert read is None or dict(read) == expected
    assert any("test_set" in study.labels for study in studies)


def test_the_readers_prior_is_the_visit_that_the_report_compares_with(studies, world):
    compared = 0
    for study in studies:
        patient, visit = world[study.study_id]
        prior = prior_of(patient, visit)
        if prior and frontal_acquisition(prior):
            assert study.prior_study_id == prior.study_id
            compared += 1
    assert compared


def test_dicom_files_read_as_films_with_dark_lungs_in_every_photometric_sense(cohort_root, world):
    frontals = {a.view_id: (p, v, a) for p, v in world.values() for a in v.acquisitions if a.projection != "LATERAL"}
    for path in sorted((cohort_root / "mimic-cxr").rglob("*.dcm")):
        if path.stem in frontals:
            masks = render(*frontals[path.stem], SIZE).masks
            lungs = (masks["lung_left"] | masks["lung_right"]) & ~masks["heart"]
            for intensity in ("minmax", "window"):
                pixels = read_radiograph(path, intensity=intensity).pixels
                assert pixels.shape == lungs.shape
                assert pixels[lungs].mean() < pixels[masks["heart"]].mean()


def test_the_jpg_release_is_the_dicom_release_by_the_published_rule(cohort_root):
    for path in sorted((cohort_root / "mimic-cxr").rglob("*.dcm"))[:10]:
        jpg = cohort_root / "mimic-cxr-jpg" / path.relative_to(cohort_root / "mimic-cxr").with_suffix(".jpg")
        by_rule, published = read_radiograph(path, intensity="mimic_jpg").pixels, read_radiograph(jpg).pixels
        assert abs(by_rule - published).mean() < 0.02


@pytest.mark.parametrize("source", ["csv", "json"])
def test_ms_cxr_phrases_carry_the_boxes_of_their_lesions(cohort_root, world, source):
    phrases = 0
    for study in ms_cxr.read_studies(cohort_root / "ms-cxr", source=source):
        patient, visit = world[study.study_id]
        film = render(patient, visit, frontal_acquisition(visit), SIZE)
        told = {
            (sentence.texts["en"], CATEGORIES.get(s.subject)): s.lesion_ids
            for sentence in write_report(patient, visit, seed=SEED).sentences
            for s in sentence.statements
            if s.status == "positive"
        }
        for phrase in study.phrases:
            expected = [box for lesion in told[phrase.text, phrase.labels[0]] for box in lesion_boxes(film.masks[lesion])]
            assert [b.xyxy for b in phrase.boxes] == [pytest.approx(b.xyxy) for b in expected]
            phrases += 1
    assert phrases


def test_ms_cxr_t_progression_and_named_prior_come_back(cohort_root, world):
    for study in ms_cxr_t.read_studies(cohort_root / "ms-cxr-t"):
        if not study.progression:
            continue  # a prior, of which only the image is known
        patient, visit = world[study.study_id]
        assert {name: p.label for name, p in study.progression.items()} == progression_labels(visit)
        assert all(p.quality for p in study.progression.values())
        assert study.prior_study_id == prior_of(patient, visit).study_id


def test_sentence_pairs_come_back_by_their_sets(cohort_root, world):
    patients = {p.patient_id: p for p, _ in world.values()}.values()
    said = {(p.text_1, p.text_2): p for p in sentence_pairs(patients, seed=SEED)}

    pairs = [*ms_cxr_t.read_pairs(cohort_root / "ms-cxr-t"), *radnli.read_pairs(cohort_root / "radnli")]

    assert pairs
    for pair in pairs:
        assert said[pair.text_1, pair.text_2].relation == pair.relation
        assert pair.language == "en"


def test_padchest_gr_sentences_boxes_and_readers_come_back(cohort_root):
    site = SITES["padchest_gr"]
    patients = [sample_patient(site.first + i, seed=SEED) for i in range(4)]
    texts = {s.texts["en"]: s.texts["es"] for p in patients for v in p.visits for s in write_report(p, v, seed=SEED).sentences}
    grounded = [s for s in padchest_gr.read_studies(cohort_root / "padchest-gr") if s.phrases]

    assert 1 <= len(grounded) <= 4
    for study in grounded:
        assert study.split in ("train", "validation", "test")
        for phrase in study.phrases:
            assert phrase.translations["es"] == texts[phrase.text]
            assert (phrase.boxes is None) == (not phrase.boxes_by_reader)
    assert len({s.patient_id for s in grounded}) == len(grounded)


def test_open_i_reports_come_back_section_by_section(cohort_root):
    for number, study in enumerate(open_i.read_studies(cohort_root / "open-i")):
        patient = sample_patient(SITES["open_i"].first + number, seed=SEED)
        written = write_report(patient, patient.visits[0], seed=SEED).sections["en"]
        for name in ("findings", "impression"):
            text = " ".join(written.get(name, "").split())  # the layout keeps no line breaks
            assert study.report.sections.get(name, "") == text.replace("___", "XXXX")
        assert len(study.views) == len(patient.visits[0].acquisitions)


def test_chexmask_masks_come_back_bit_for_bit(cohort_root, world):
    frontals = {a.view_id: (p, v, a) for p, v in world.values() for a in v.acquisitions}
    for number, (view_id, masks) in enumerate(chexmask.read_masks(cohort_root / "chexmask", min_quality=0)):
        film = render(*frontals[view_id], SIZE)
        assert all((masks[name] == film.masks[name]).all() for name in ("lung_left", "lung_right", "heart"))
        if number == 5:
            break


def test_mimic_iv_gives_every_patient_sex_and_age(cohort_root, world):
    studies = mimic_iv.with_patients(
        mimic_cxr.read_studies(cohort_root / "mimic-cxr", jpg_root=cohort_root / "mimic-cxr-jpg"), cohort_root / "mimic-iv"
    )
    for study in studies:
        patient, visit = world[study.study_id]
        years = visit.time.year - patient.visits[0].time.year
        assert study.sex == patient.sex
        assert study.age == (patient.age if patient.age <= 89 else 91) + years


def test_chest_imagenome_progression_is_a_change_of_the_world(cohort_root, studies, world):
    compared = 0
    for study in chest_imagenome.with_progression(studies, cohort_root / "chest-imagenome"):
        changes = world[study.study_id][1].changes
        for finding in {"consolidation", "pneumothorax", "pleural effusion"} & set(study.progression):
            directions = {COMPARISON[c.label] for c in changes if c.name == finding.replace(" ", "_")}
            assert study.progression[finding].label in directions
            compared += 1
    assert compared
