"""What the rules read in single sentences, English and Spanish."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvl.lexicon.structure import structure

STATUS_EN = {
    "No focal consolidation, pleural effusion, or pneumothorax.": {"consolidation": "-", "pleural_effusion": "-", "pneumothorax": "-"},
    "There is no evidence of pneumothorax and the heart is enlarged.": {"pneumothorax": "-", "cardiomegaly": "+"},
    "No pneumothorax, large left effusion.": {"pneumothorax": "-", "pleural_effusion": "+"},
    "Small left effusion with adjacent atelectasis but no pneumothorax.": {
        "pleural_effusion": "+",
        "atelectasis": "+",
        "pneumothorax": "-",
    },
    "No pneumothorax or effusion is seen.": {"pneumothorax": "-", "pleural_effusion": "-"},
    "Pneumothorax: none.": {"pneumothorax": "-"},
    "Pleural effusion is not seen.": {"pleural_effusion": "-"},
    "Effusion is small and pneumothorax is not seen.": {"pleural_effusion": "+", "pneumothorax": "-"},
    "The lungs are clear.": {"lungs": "-"},
    "The lungs are grossly clear of focal consolidation or effusion.": {"consolidation": "-", "pleural_effusion": "-"},
    "Heart size and mediastinal contours are normal.": {"heart": "-", "mediastinum": "-"},
    "The mediastinum is not widened.": {"enlarged_mediastinum": "-"},
    "No change in the right pleural effusion.": {"pleural_effusion": "+"},
    "Pneumonia is not excluded.": {"pneumonia": "+"},
    "No new consolidation.": {"consolidation": "-"},
    "The film is negative for fracture.": {"fracture": "-"},
    "The lungs are clear without focal abnormality.": {"lungs": "-"},
    "Nothing acute.": {"acute_process": "-"},
    "Normal.": {"chest": "-"},
    "Evaluate for pneumonia.": {},
}
STATUS_ES = {
    "No se observa neumotórax ni derrame pleural.": {"pneumothorax": "-", "pleural_effusion": "-"},
    "Pequeño derrame pleural izquierdo, sin neumotórax.": {"pleural_effusion": "+", "pneumothorax": "-"},
    "El corazón está agrandado.": {"cardiomegaly": "+"},
    "Silueta cardíaca de tamaño normal.": {"heart": "-"},
    "Mediastino no ensanchado.": {"enlarged_mediastinum": "-"},
    "Sin cambios en el derrame izquierdo.": {"pleural_effusion": "+"},
    "Ausencia de consolidación.": {"consolidation": "-"},
    "Neumonía no descartable.": {"pneumonia": "+"},
    "Sin alteraciones óseas agudas.": {"bone_abnormality": "-"},
    "Hay un nódulo, pero no derrame.": {"nodule": "+", "pleural_effusion": "-"},
    "Campos pulmonares sin hallazgos.": {"lungs": "-"},
}


VOCABULARY = (
    "no", "effusion", "or", ",", "and", "the", "left", "may represent", ".", "\n", "1.5 cm", "(", "is", "heart", "enlarged", "which",
)  # fmt: skip


def statuses(text, language="en"):
    return {r.concept: "+" if r.status == "positive" else "-" for r in structure(text, language=language)}


def only(text, language="en"):
    (row,) = structure(text, language=language)
    return row


@pytest.mark.parametrize("text", STATUS_EN)
def test_english_status_follows_the_scope_of_its_cues(text):
    assert statuses(text) == STATUS_EN[text]


@pytest.mark.parametrize("text", STATUS_ES)
def test_spanish_status_follows_the_scope_of_its_cues(text):
    assert statuses(text, "es") == STATUS_ES[text]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Possible pneumonia.", "en"),
        ("Pneumonia cannot be excluded.", "en"),
        ("Findings may represent pneumonia.", "en"),
        ("Pneumonia is likely.", "en"),
        ("We cannot exclude pneumonia.", "en"),
        ("Posible neumonía.", "es"),
        ("No se puede descartar neumonía.", "es"),
        ("Hallazgos compatibles con neumonía.", "es"),
    ],
)
def test_hedged_findings_are_positive_and_tentative(text, language):
    row = only(text, language)

    assert (row.concept, row.status, row.certainty) == ("pneumonia", "positive", "tentative")


def test_a_hedge_reaches_the_interpretation_and_not_the_look():
    opacity, pneumonia = structure("Opacity in the right lower lobe may represent pneumonia.")

    assert (opacity.certainty, pneumonia.certainty) == ("definitive", "tentative")


def test_versus_hedges_both_sides():
    assert {r.certainty for r in structure("Atelectasis versus pneumonia.")} == {"tentative"}


@pytest.mark.parametrize(
    ("text", "language", "change"),
    [
        ("New left effusion.", "en", "new"),
        ("A left effusion, which was not present on the prior study.", "en", "new"),
        ("Interval increase in the moderate left effusion.", "en", "worse"),
        ("The left effusion has decreased.", "en", "improved"),
        ("Unchanged left effusion.", "en", "stable"),
        ("No significant change in the left effusion.", "en", "stable"),
        ("The left effusion is no longer seen.", "en", "resolved"),
        ("The previously seen left effusion is not identified.", "en", "resolved"),
        ("El derrame izquierdo ha aumentado.", "es", "worse"),
        ("Derrame izquierdo de nueva aparición.", "es", "new"),
        ("Mejoría del derrame izquierdo.", "es", "improved"),
        ("El derrame izquierdo permanece estable.", "es", "stable"),
        ("El derrame izquierdo ya no se observa.", "es", "resolved"),
    ],
)
def test_change_is_bound_to_its_finding(text, language, change):
    row = only(text, language)

    assert (row.concept, row.status, row.side, row.change) == ("pleural_effusion", "positive", "left", change)


def test_increased_says_how_much_unless_the_sentence_compares():
    alone = only("Increased opacity at the left base.")
    compared = only("Increased opacity at the left base compared to the prior study.")

    assert (alone.change, compared.change) == (None, "worse")


def test_change_is_shared_over_the_list_that_a_verb_ends():
    rows = structure("Cardiomegaly and left effusion are unchanged.")

    assert [r.change for r in rows] == ["stable", "stable"]


def test_left_and_right_are_two_rows_and_bilateral_is_one():
    assert [r.side for r in structure("Left and right pleural effusions.")] == ["left", "right"]
    assert [r.side for r in structure("Bilateral pleural effusions.")] == ["bilateral"]


def test_two_places_are_two_rows():
    rows = structure("Opacities in the right upper lobe and left lower lobe.")

    assert [(r.side, r.sites) for r in rows] == [("right", ("upper lobe",)), ("left", ("lower lobe",))]


@pytest.mark.parametrize("text", ["RLL consolidation.", "Consolidation in the right lower lobe.", "Right lower lobe consolidation."])
def test_a_place_is_read_before_and_after_its_finding(text):
    row = only(text)

    assert (row.side, row.sites) == ("right", ("lower lobe",))


def test_grade_and_measurement_belong_to_their_finding():
    effusion, nodule = structure("Moderate right effusion and 2.3 cm nodule in the left upper lobe.")

    assert (effusion.severity, effusion.measurement) == ("moderate", None)
    assert (nodule.severity, nodule.measurement) == (None, "2.3 cm")


@pytest.mark.parametrize(
    ("text", "language", "placement", "tip"),
    [
        ("The endotracheal tube terminates 4.0 cm above the carina.", "en", "proper", "above carina"),
        ("The endotracheal tube terminates 1.0 cm above the carina.", "en", "malpositioned", "above carina"),
        ("Endotracheal tube in the right main bronchus.", "en", "malpositioned", "right main bronchus"),
        ("Right PICC with its tip in the right atrium.", "en", "malpositioned", "right atrium"),
        ("Nasogastric tube with tip in the stomach.", "en", "proper", "stomach"),
        ("Sonda nasogástrica con extremo en estómago.", "es", "proper", "stomach"),
        ("Tubo endotraqueal en bronquio principal derecho.", "es", "malpositioned", "right main bronchus"),
    ],
)
def test_where_the_tip_lies_says_whether_a_device_lies_well(text, language, placement, tip):
    row = only(text, language)

    assert (row.category, row.placement, row.tip) == ("oth", placement, tip)


def test_a_device_and_its_abbreviation_are_one_row():
    assert only("Central venous catheter (CVC) in place.").concept == "central_venous_line"


def test_every_row_explains_itself_and_points_at_its_words():
    text = "FINDINGS: Stable cardiomegaly.\n\nNo effusion. "
    rows = structure(text)

    assert [text[slice(*r.span)] for r in rows] == ["cardiomegaly", "effusion"] == [r.entity for r in rows]
    assert all("named" in r.explanation[0] for r in rows)
    assert "denied by “No”" in rows[1].explanation
    assert [r.sentence for r in rows] == [0, 1]


def test_indication_and_technique_say_nothing_of_the_film():
    text = "INDICATION: Pneumonia?\n\nTECHNIQUE: Chest tube protocol.\n\nFINDINGS: No effusion.\n\nIMPRESSION: Edema."

    assert [(r.concept, r.section) for r in structure(text)] == [("pleural_effusion", "find"), ("pulmonary_edema", "impr")]


def test_lower_case_text_is_read_alike():
    text = "No effusion. Heart size is enlarged. 1.5 cm nodule."

    assert statuses(text.lower()) == statuses(text) == {"pleural_effusion": "-", "cardiomegaly": "+", "nodule": "+"}


def test_words_as_written_stand_under_the_columns_of_lunguage():
    row = only("Small patchy opacity in the left base, unchanged.")

    assert row.attributes == {"severity": "Small", "morphology": "patchy", "location": "left base", "no change": "unchanged"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(VOCABULARY), max_size=80))
def test_any_order_of_words_is_read_the_same_twice_and_points_into_the_text(words):
    text = " ".join(words)

    rows = structure(text)

    assert rows == structure(text)
    assert all(text[slice(*r.span)] == r.entity for r in rows)


def test_time_grows_no_faster_than_the_text_times_a_sentence():
    sentence = "no effusion, pneumothorax or left lower lobe consolidation " * 60

    start = time.process_time()
    structure(sentence)
    structure(". " * 20000)
    structure("2 x " * 5000)

    assert time.process_time() - start < 2
