"""Files of reports: every accepted shape gives the same samples; bad input is one error that names the place, or counted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl.data.report_files import read_reports
from medvl.data.report_samples import UnpairedReports, from_studies, join
from medvl.records import Box, Phrase, Report, Study
from medvl.runtime.errors import InvalidValue, MissingColumns, MissingFile, UserError

BOX = Box(0.1, 0.2, 0.3, 0.4)
NAMED_BOX = {"x_min": 0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.4}


def write(path, content):
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def lines(*records):
    return "\n".join(json.dumps(record) for record in records) + "\n"


def both(samples):
    return [(sample.example_id, sample.prediction, sample.reference) for sample in samples]


@pytest.mark.parametrize(
    "header", ["example_id,prediction,target", "study_id,candidate,reference", "id,hyp,ref", "study_id,generated,findings"]
)
def test_a_table_of_texts_is_read_by_any_of_its_column_names(tmp_path, header):
    path = write(tmp_path / "reports.csv", f'{header}\n007,"Heart normal, lungs clear.",Clear.\n8,,x\n')

    samples = read_reports(path, "prediction")

    assert both(samples) == [("007", "Heart normal, lungs clear.", "Clear."), ("8", "", "x")]


def test_a_pair_of_tables_with_one_report_each_is_joined(tmp_path):
    ours = read_reports(write(tmp_path / "pred.csv", "study_id,report\n2,b\n1,a\n"), "prediction")
    theirs = read_reports(write(tmp_path / "gt.csv", "study_id,subject_id,report\n1,p,A\n2,p,B\n"), "reference")

    joined = join(ours, theirs)

    assert both(joined.samples) == [("2", "b", "B"), ("1", "a", "A")]
    assert {sample.patient_id for sample in joined.samples} == {"p"}
    assert set(joined.counts.values()) == {0}


def test_radfacts_grounded_list_is_read(tmp_path):
    record = {
        "example_id": 3,
        "prediction": [{"text": "Effusion.", "boxes": [NAMED_BOX]}, {"text": "Heart normal.", "boxes": None}],
        "target": [{"text": "Effusion.", "boxes": []}, {"text": "Clear."}, "Plain."],
        "source": "invented",
    }
    path = write(tmp_path / "grounded.json", [record])

    (sample,) = read_reports(path, "prediction")

    assert sample.prediction == (Phrase("Effusion.", boxes=(BOX,)), Phrase("Heart normal."))
    assert sample.reference == (Phrase("Effusion."), Phrase("Clear."), Phrase("Plain."))
    assert sample.meta == {"source": "invented"}
    assert both(read_reports(write(tmp_path / "grounded.jsonl", lines(record)), "prediction")) == both([sample])


def test_radfacts_nli_examples_are_read_with_their_gold_answers(tmp_path):
    record = {"study_id": "N/A", "example_id": "e1", "input": {"phrases_A": ["a"], "phrases_B": ["b", "c"]}, "output": {"gold": 1}}

    (sample,) = read_reports(write(tmp_path / "nli.json", [record]), "prediction")

    assert both([sample]) == [("e1", (Phrase("a"),), (Phrase("b"), Phrase("c")))]
    assert sample.meta["output"] == {"gold": 1}


def test_radevals_shapes_are_numbered_from_zero(tmp_path):
    expected = [("0", "a", "A"), ("1", "b", "B")]

    assert both(read_reports(write(tmp_path / "a.json", {"references": ["A", "B"], "hypotheses": ["a", "b"]}), "prediction")) == expected
    assert (
        both(read_reports(write(tmp_path / "a.jsonl", lines({"ref": "A", "hyp": "a"}, {"ref": "B", "hyp": "b"})), "prediction")) == expected
    )
    ours = read_reports(write(tmp_path / "hyp.tok", "a\nb\n"), "prediction")
    theirs = read_reports(write(tmp_path / "ref.txt", "A\nB\n"), "reference")
    assert both(join(ours, theirs).samples) == expected


def test_an_empty_line_is_an_empty_report_and_keeps_its_place(tmp_path):
    samples = read_reports(write(tmp_path / "hyp.txt", "a\n\nc\n"), "prediction")

    assert [sample.prediction for sample in samples] == ["a", "", "c"]


def test_a_rexrank_submission_is_read(tmp_path):
    path = write(
        tmp_path / "rexrank.json",
        {
            "s1": {"model_prediction": "Clear.", "section_findings": "Lungs clear.", "section_impression": None},
            "s2": {"model_prediction": "x", "section_findings": "f", "section_impression": "i"},
        },
    )

    assert both(read_reports(path, "prediction")) == [
        ("s1", "Clear.", "Findings: Lungs clear. Impression: None"),
        ("s2", "x", "Findings: f Impression: i"),
    ]


def test_reports_by_study_are_read_as_the_side_they_are_given_as(tmp_path):
    path = write(tmp_path / "reports.json", {"s1": "Clear.", "s2": ["Effusion."]})

    assert both(read_reports(path, "reference")) == [("s1", None, "Clear."), ("s2", None, (Phrase("Effusion."),))]


def test_this_projects_predictions_are_read(tmp_path):
    record = {"study_id": "s1", "dataset": "phantom", "text": "Effusion.", "meta": {"seed": 1}}
    record |= {"phrases": [{"text": "Effusion.", "boxes": [[0.1, 0.2, 0.3, 0.4]]}]}
    plain = {"study_id": "s2", "dataset": "phantom", "text": "Clear.", "phrases": [], "meta": {}}

    grounded, text = read_reports(write(tmp_path / "predictions.jsonl", lines(record, plain)), "prediction")

    assert grounded.prediction == (Phrase("Effusion.", boxes=(BOX,)),)
    assert (grounded.dataset, grounded.meta["seed"]) == ("phantom", 1)
    assert text.prediction == "Clear."


def test_sequences_and_decoded_strings_of_maira_2_are_read(tmp_path):
    decoded = "<obj>Effusion.<box><x0><y0><x99><y99></box></obj><obj>Cut off"
    records = [
        {"study_id": "pairs", "prediction": [["Effusion.", [[0.1, 0.2, 0.3, 0.4]]], ["Heart normal.", None]]},
        {"study_id": "model frame", "prediction": decoded},
        {"study_id": "original frame", "prediction": decoded, "height": 100, "width": 200},
    ]

    pairs, model, original = read_reports(write(tmp_path / "maira.jsonl", lines(*records)), "prediction")

    assert pairs.prediction == (Phrase("Effusion.", boxes=(BOX,)), Phrase("Heart normal."))
    assert model.prediction == (Phrase("Effusion.", boxes=(Box(0.005, 0.005, 0.995, 0.995),)),)
    assert original.prediction == (Phrase("Effusion.", boxes=(Box(0.25, 0, 0.745, 0.99),)),)
    assert model.meta == {"prediction_truncated": True}


def test_studies_become_references_phrases_before_sections_before_text():
    grounded = Study("padchest_gr", "p", "1", phrases=(Phrase("Effusion."),), report=Report("Effusion.", language="es"), privacy="public")
    sections = Study("mimic_cxr", "p", "2", report=Report("FINDINGS: x IMPRESSION: y", {"findings": "x"}))
    whole = Study("mimic_cxr", "p", "3", report=Report("no sections"))

    samples = from_studies([grounded, sections, whole, Study("padchest_gr", "p", "prior")])

    assert [sample.reference for sample in samples] == [(Phrase("Effusion."),), "x", "no sections"]
    assert (samples[0].language, samples[0].privacy, samples[1].privacy) == ("es", "public", "local_only")


def test_the_stricter_policy_is_inherited(tmp_path):
    ours = read_reports(write(tmp_path / "a.json", {"1": "a"}), "prediction", privacy="public")
    theirs = read_reports(write(tmp_path / "b.jsonl", lines({"id": 1, "report": "A", "privacy": "zero_retention"})), "reference")

    assert join(ours, theirs).samples[0].privacy == "zero_retention"


def test_examples_of_one_side_only_are_an_error_or_counted(tmp_path):
    ours = read_reports(write(tmp_path / "a.json", {"1": "a", "2": "", "3": "c"}), "prediction")
    theirs = read_reports(write(tmp_path / "b.json", {"1": "A", "2": "B", "4": "D"}), "reference")

    with pytest.raises(UnpairedReports, match="1 of 3 examples have no prediction, first '4'"):
        join(ours, theirs)
    joined = join(ours, theirs, allow_missing=True)

    assert [sample.example_id for sample in joined.samples] == ["1", "2"]
    assert joined.counts == {"missing_predictions": 1, "missing_references": 1, "empty_predictions": 1, "empty_references": 0}
    with pytest.raises(UnpairedReports, match="no example has both"):
        join(ours[:1], theirs[1:], allow_missing=True)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.csv", "example_id,prediction,target\n1,a,A\n1,b,B\n", InvalidValue, "row 2: example '1' comes twice"),
        ("a.csv", "example_id,predicted\n1,a\n", MissingColumns, "no column 'prediction'.*found: example_id, predicted.*hypothesis"),
        ("a.csv", "report\na\n", MissingColumns, "no column 'example_id'.*study_id"),
        ("a.csv", "example_id,prediction\n,a\n", InvalidValue, "row 1: the identifier is None"),
        ("a.json", "{", InvalidValue, "is not JSON"),
        ("a.json", "3", InvalidValue, "neither a list nor an object"),
        ("a.json", "[]", InvalidValue, "holds no report"),
        ("a.json", '[{"example_id": 1, "verdict": "x"}]', InvalidValue, "record 0: has no report \\(fields: verdict\\)"),
        ("a.json", '[{"example_id": 1, "prediction": 5}]', InvalidValue, "record 0: the prediction is neither text nor a list"),
        ("a.json", '{"references": ["a"], "hypotheses": []}', InvalidValue, "lists of different lengths"),
        ("a.json", '{"s1": [{"text": "x", "boxes": [[0.5, 0, 0.4, 1]]}]}', InvalidValue, "study 's1': a box needs 0 ≤ min ≤ max ≤ 1"),
        ("a.jsonl", '{"id": 1, "report": "x", "privacy": "secret"}', InvalidValue, "line 1: the privacy policy is 'secret'"),
        ("a.jsonl", '\n["x"]\n', InvalidValue, "line 2: is not an object"),
        ("a.json", '[{"id": 1, "report": "x", "dataset": []}]', InvalidValue, r"record 0: the dataset is \[\]"),
        ("a.xml", "<x/>", InvalidValue, "ends in none of"),
    ],
)
def test_bad_input_is_one_error_that_names_the_place(tmp_path, name, content, error, message):
    with pytest.raises(error, match=message):
        read_reports(write(tmp_path / name, content), "prediction")


def test_an_absent_file_is_an_error(tmp_path):
    with pytest.raises(MissingFile, match=r"predictions\.json does not exist"):
        read_reports(tmp_path / "predictions.json", "prediction")


def test_a_padchest_gr_release_gives_references_by_folder_or_by_its_document(tmp_path):
    findings = [{"sentence_en": "Effusion.", "sentence_es": "Derrame.", "abnormal": True, "boxes": [[0.1, 0.2, 0.3, 0.4]]}]
    document = write(tmp_path / "grounded_reports_20240819.json", [{"StudyID": "1", "ImageID": "1_a.png", "findings": findings}])
    header = "StudyID,split,PatientID,PatientSex_DICOM,PatientAge,StudyDate_DICOM"
    write(tmp_path / "master_table.csv", f"{header}\n1,test,p9,F,60,20170101\n")

    (by_folder,) = read_reports(tmp_path, "reference", language="es", privacy="zero_retention")
    (by_document,) = read_reports(document, "reference", language="es", privacy="zero_retention")

    assert by_folder == by_document
    assert (by_folder.reference[0].text, by_folder.reference[0].boxes) == ("Derrame.", (BOX,))
    assert (by_folder.patient_id, by_folder.dataset, by_folder.privacy) == ("p9", "padchest_gr", "zero_retention")


FIELDS = ("id", "study_id", "prediction", "target", "text", "boxes", "input", "meta", "phrases", "width", "height", "refs", "dataset")
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text("<obj>ab", max_size=12)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner), max_leaves=12)


@given(values)
def test_any_json_is_read_or_refused_in_one_line(tmp_path_factory, value):
    path = write(tmp_path_factory.getbasetemp() / "any.json", json.dumps(value))
    samples, message = [], ""

    try:
        samples = read_reports(path, "prediction")
    except UserError as error:
        message = str(error)

    assert bool(samples) != (message.splitlines() == [message])
    assert all(isinstance(sample.prediction, (str, tuple, type(None))) for sample in samples)
