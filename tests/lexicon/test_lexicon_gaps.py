"""Sentences that were once read wrong: places that share a noun, organs that are only compared, degrees of change, denied growth."""

import pytest

from medvl.lexicon.chexpert import label
from medvl.lexicon.structure import structure


def only(text, language="en"):
    (row,) = structure(text, language=language)
    return row


@pytest.mark.parametrize(
    ("text", "language", "concept", "status"),
    [
        ("No enlargement of the heart.", "en", "cardiomegaly", "negative"),
        ("No increase in heart size.", "en", "cardiomegaly", "negative"),
        ("Sin aumento del tamaño cardíaco.", "es", "cardiomegaly", "negative"),
        ("The recesses are free.", "en", "costophrenic_angles", "negative"),
        ("Senos libres.", "es", "costophrenic_angles", "negative"),
        ("The radiograph is negative for pneumonia.", "en", "pneumonia", "negative"),
        ("The chest is negative.", "en", "chest", "negative"),
        ("Cortical break of the left sixth rib.", "en", "rib_fracture", "positive"),
        ("Rotura cortical de una costilla.", "es", "rib_fracture", "positive"),
        ("The left clavicle is fractured.", "en", "clavicle_fracture", "positive"),
        ("Left apical pleural scarring.", "en", "pleural_scarring", "positive"),
        ("Cicatriz pleural apical izquierda.", "es", "pleural_scarring", "positive"),
        ("Borramiento de ambos senos costofrénicos.", "es", "blunted_costophrenic_angle", "positive"),
        ("Heart: normal.", "en", "heart", "negative"),
        ("Pulmones: sin alteraciones.", "es", "lungs", "negative"),
        ("Neumotórax: ausente.", "es", "pneumothorax", "negative"),
        ("Findings: pneumothorax.", "en", "pneumothorax", "positive"),
        ("Sin corazón de tamaño aumentado.", "es", "cardiomegaly", "negative"),
        ("Tamaño cardíaco por encima de lo normal.", "es", "cardiomegaly", "positive"),
        ("Índice cardiotorácico menor de 0,5.", "es", "heart", "negative"),
        ("No se aprecian alteraciones significativas.", "es", "chest", "negative"),
        ("Aire libre en la cavidad pleural.", "es", "pneumothorax", "positive"),
        ("Lesión nodular derecha.", "es", "nodule", "positive"),
        ("No es evidente la fractura.", "es", "fracture", "negative"),
    ],
)
def test_the_thing_and_its_status_are_read(text, language, concept, status):
    row = only(text, language)

    assert (row.concept, row.status) == (concept, status)


@pytest.mark.parametrize(
    ("text", "language", "concept", "change"),
    [
        ("The cardiac silhouette is stable.", "en", "heart", "stable"),
        ("The cardiac silhouette is larger than before.", "en", "cardiomegaly", "worse"),
        ("La silueta cardíaca permanece estable.", "es", "heart", "stable"),
        ("La silueta cardíaca es mayor que en el estudio previo.", "es", "cardiomegaly", "worse"),
    ],
)
def test_an_organ_that_is_only_compared_gives_a_row(text, language, concept, change):
    row = only(text, language)

    assert (row.concept, row.status, row.change) == (concept, "positive", change)


@pytest.mark.parametrize("text", ["", "___", "The heart is stable."])
def test_a_text_that_finds_nothing_out_has_no_label(text):
    assert label(text) == {}


@pytest.mark.parametrize(
    ("text", "language", "sites"),
    [
        ("Opacities in the right upper and lower lobes.", "en", ("upper lobe", "lower lobe")),
        ("The right upper, middle and lower lobes are opacified.", "en", ("upper lobe", "middle lobe", "lower lobe")),
        ("Opacidades en los lóbulos superior e inferior derechos.", "es", ("upper lobe", "lower lobe")),
    ],
)
def test_levels_that_share_their_noun_are_all_sites(text, language, sites):
    row = only(text, language)

    assert (row.side, row.sites) == ("right", sites)


def test_sides_that_share_their_site_both_have_it():
    rows = structure("Left and right lower lobe consolidation.")

    assert [(r.side, r.sites) for r in rows] == [("left", ("lower lobe",)), ("right", ("lower lobe",))]


@pytest.mark.parametrize(
    ("text", "language", "severity", "change"),
    [
        ("The left effusion has become more pronounced.", "en", None, "worse"),
        ("The left effusion is slightly larger.", "en", None, "worse"),
        ("Mild left effusion, slightly worse.", "en", "mild", "worse"),
        ("Slight interval decrease in the left effusion.", "en", None, "improved"),
        ("Small left effusion, unchanged.", "en", "small", "stable"),
        ("Derrame izquierdo menos pronunciado.", "es", None, "improved"),
        ("Discreto aumento del derrame izquierdo.", "es", None, "worse"),
    ],
)
def test_the_degree_of_a_change_is_no_degree_of_the_finding(text, language, severity, change):
    row = only(text, language)

    assert (row.severity, row.change) == (severity, change)


@pytest.mark.parametrize(
    ("text", "language", "change"),
    [
        ("The effusion has reaccumulated.", "en", "worse"),
        ("The effusion can no longer be seen.", "en", "resolved"),
        ("The effusion present on the prior film is not identified.", "en", "resolved"),
        ("The effusion was not seen on the prior film.", "en", "new"),
        ("The effusion is again demonstrated.", "en", "stable"),
        ("Apareció un derrame.", "es", "new"),
        ("Derrame no visible en el estudio previo.", "es", "new"),
        ("El derrame se ha incrementado.", "es", "worse"),
        ("El derrame se ha reducido.", "es", "improved"),
        ("El derrame no se ha modificado.", "es", "stable"),
        ("Desapareció el derrame.", "es", "resolved"),
    ],
)
def test_changes_in_other_words(text, language, change):
    row = only(text, language)

    assert (row.concept, row.status, row.change) == ("pleural_effusion", "positive", change)


def test_what_is_not_seen_today_is_not_new():
    assert only("The pneumothorax is not seen on today's film.").change != "new"


@pytest.mark.parametrize(
    "text", ["El derrame ha aumentado desde la exploración anterior.", "Ha disminuido el derrame desde la radiografía anterior."]
)
def test_an_anterior_study_is_no_anterior_place(text):
    assert only(text, "es").sites == ()


def test_the_tip_of_a_line_is_no_stent():
    assert only("The tip of the right PICC is in the mid SVC.").concept == "picc"


def test_great_vessels_are_no_large_heart():
    assert {(row.concept, row.status) for row in structure("Corazón y grandes vasos normales.", language="es")} == {
        ("heart", "negative"),
        ("aorta", "negative"),
    }


def test_a_finding_and_its_own_sign_are_one_thing():
    row = only("Sin variación del neumotórax con línea pleural visible en el vértice izquierdo.", "es")

    assert (row.concept, row.side, row.sites, row.change) == ("pneumothorax", "left", ("apex",), "stable")


def test_a_side_that_a_name_runs_into_counts():
    assert only("Edema de pulmón izquierdo.", "es").side == "left"


@pytest.mark.parametrize(
    ("text", "language", "change"),
    [
        ("There is no change in the pleural effusion.", "en", "stable"),
        ("The effusion shows no significant change.", "en", "stable"),
        ("The nodule is enlarged compared to the prior study.", "en", "worse"),
        ("The nodule is enlarged.", "en", None),
        ("The heart remains enlarged compared to the prior study.", "en", "stable"),
        ("The effusion has almost completely resolved.", "en", "improved"),
        ("El derrame pleural aparece sin cambios.", "es", "stable"),
        ("El derrame pleural mantiene su tamaño.", "es", "stable"),
    ],
)
def test_change_is_read_as_meant(text, language, change):
    row = only(text, language)

    assert (row.status, row.change) == ("positive", change)


@pytest.mark.parametrize(
    ("text", "language", "certainty", "presumptive"),
    [
        ("Findings consistent with pneumonia.", "en", "tentative", True),
        ("Hallazgos compatibles con neumonía.", "es", "tentative", True),
        ("Findings may be compatible with pneumonia.", "en", "tentative", False),
        ("Possible pneumonia.", "en", "tentative", False),
        ("¿Neumonía?", "es", "tentative", False),
        ("Imagen de condensación.", "es", "definitive", False),
    ],
)
def test_some_hedges_commit_the_reader(text, language, certainty, presumptive):
    row = only(text, language)

    assert (row.certainty, row.presumptive) == (certainty, presumptive)
