"""MS-CXR-T: pairs of images named by path, five findings, and sentence pairs."""

import pytest
from layouts import dicom_id, image, write_csv, write_mimic_jpg

from medvl.data import ms_cxr_t
from medvl.records import Progression, SentencePair
from medvl.runtime.errors import InvalidValue, MissingColumns, MissingFile

NAME = "MS_CXR_T_temporal_image_classification_v1.0.0.csv"
SENTENCES = "MS_CXR_T_temporal_sentence_similarity_v1.0.0.csv"


def pair(current, prior, *, studies=("50000002", "50000001"), **values):
    folder = "p10/p10000001"
    row = {"dicom_id": f"{folder}/s{studies[0]}/{dicom_id(current)}", "previous_dicom_id": f"{folder}/s{studies[1]}/{dicom_id(prior)}"}
    row |= {"subject_id": "10000001", "study_id": studies[0], "previous_study_id": studies[1]}
    empty = {f"{finding}_{kind}": "" for kind in ("progression", "label_quality") for finding in ms_cxr_t.FINDINGS}
    return row | empty | values


def test_a_pair_names_both_images_and_the_progression_of_the_labelled_findings(tmp_path):
    labels = {"edema_progression": "worsening", "edema_label_quality": "one_expert", "pneumothorax_progression": "stable"}
    write_csv(tmp_path / NAME, [pair(2, 1, **labels)])

    ((current, prior),) = ms_cxr_t.read_image_pairs(tmp_path)

    assert current.progression == {"edema": Progression("worsening", "one_expert"), "pneumothorax": Progression("stable")}
    assert (current.study_id, current.prior_study_id, current.patient_id) == ("50000002", "50000001", "10000001")
    assert [v.view_id for v in current.views] == [dicom_id(2)]
    assert [v.view_id for v in prior.views] == [dicom_id(1)]
    assert (prior.study_id, prior.progression, prior.prior_study_id) == ("50000001", {}, None)


def test_studies_come_once_and_priors_without_a_progression_last(tmp_path):
    chain = [
        pair(3, 2, studies=("50000003", "50000002"), edema_progression="stable"),
        pair(2, 1, edema_progression="improving"),
        pair(4, 1, edema_progression="worsening", pneumonia_progression="stable"),
    ]
    write_csv(tmp_path / NAME, chain)

    studies = list(ms_cxr_t.read_studies(tmp_path))

    assert [s.study_id for s in studies] == ["50000003", "50000002", "50000001"]
    assert [v.view_id for v in studies[1].views] == [dicom_id(2), dicom_id(4)]
    assert {name: p.label for name, p in studies[1].progression.items()} == {"edema": "improving", "pneumonia": "stable"}
    assert len(list(ms_cxr_t.read_image_pairs(tmp_path))) == 3


def test_mimic_cxr_adds_files_and_times_and_the_named_prior_wins(tmp_path):
    write_csv(tmp_path / NAME, [pair(3, 1, studies=("50000003", "50000001"), edema_progression="stable")])
    dates = {1: "21800501", 2: "21800502", 3: "21800503"}
    mimic = write_mimic_jpg(tmp_path / "mimic", [image(i, study=f"5000000{i}", StudyDate=d) for i, d in dates.items()])

    current, prior = ms_cxr_t.read_studies(tmp_path, mimic_cxr_jpg=mimic)

    assert current.prior_study_id == "50000001"
    assert current.frontal().path.endswith(f"{dicom_id(3)}.jpg")
    assert (current.dataset, prior.time.day) == ("ms_cxr_t", 1)


@pytest.mark.parametrize("values", [{"edema_progression": "better"}, {"dicom_id": "x"}, {"study_id": "50000009"}])
def test_a_value_that_the_release_does_not_allow_names_its_row(tmp_path, values):
    write_csv(tmp_path / NAME, [pair(2, 1, **values)])

    with pytest.raises(InvalidValue, match="row 2"):
        list(ms_cxr_t.read_studies(tmp_path))


def test_sentence_pairs_keep_relation_and_subset_whatever_the_order_of_columns(tmp_path):
    row = {"": "0", "sentence_1": "Effusion has grown.", "sentence_2": "Larger effusion.", "category": "paraphrase", "subset_name": "Swaps"}
    write_csv(tmp_path / SENTENCES, [row])

    assert list(ms_cxr_t.read_pairs(tmp_path)) == [
        SentencePair("Effusion has grown.", "Larger effusion.", "paraphrase", "Swaps", pair_id="0")
    ]


def test_absent_tables_and_columns_are_named(tmp_path):
    with pytest.raises(MissingFile, match="temporal_image_classification"):
        list(ms_cxr_t.read_studies(tmp_path))
    write_csv(tmp_path / SENTENCES, [{"sentence_1": "a"}])
    with pytest.raises(MissingColumns, match="'sentence_2', 'category'"):
        list(ms_cxr_t.read_pairs(tmp_path))
