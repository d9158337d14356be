"""Lines and tubes read from sentences."""

import pytest

from medvl.metrics.device_extraction import TYPE_OF, devices_in
from medvl.metrics.lines_and_tubes import TYPES, Device, lines_and_tubes


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("The ET tube is unchanged.", Device("endotracheal_tube", change="unchanged")),
        ("Right PICC is new.", Device("picc", side="right", change="new")),
        ("The left chest tube has been removed.", Device("chest_tube", side="left", change="removed")),
        ("The nasogastric tube has been advanced.", Device("enteric_tube", change="advanced")),
        ("The nasogastric tube was repositioned.", Device("enteric_tube", change="retracted")),
        ("Swan-Ganz catheter position cannot be assessed.", Device("pulmonary_artery_catheter", placement="indeterminate")),
        ("The patient has been extubated.", Device("endotracheal_tube", change="removed")),
    ],
)
def test_one_sentence_gives_one_device(text, device):
    assert devices_in(text) == [device]


def test_advice_to_move_a_tube_is_no_change():
    (tube,) = devices_in("The nasogastric tube should be advanced.")

    assert tube.change is None


@pytest.mark.parametrize("text", ["", "No pneumothorax.", "No central line is seen.", "Sternal wires are intact."])
def test_denied_devices_wires_and_findings_are_none(text):
    assert devices_in(text) == []


def test_the_position_and_the_tip_are_kept():
    (tube,) = devices_in("Dobbhoff tube is malpositioned in the right main bronchus.")

    assert (tube.placement, tube.tip) == ("malpositioned", "right main bronchus")


def test_a_device_that_is_mentioned_twice_is_one_and_keeps_what_was_told():
    assert devices_in("A right PICC is seen. The PICC is unchanged.") == [Device("picc", side="right", change="unchanged")]


def test_tubes_on_two_sides_are_two():
    assert [d.side for d in devices_in("Bilateral chest tubes are unchanged.")] == ["left", "right"]


def test_movement_belongs_to_the_device_that_it_follows():
    devices = devices_in("The endotracheal tube is unchanged and the nasogastric tube has been advanced.")

    assert [(d.type, d.change) for d in devices] == [("endotracheal_tube", "unchanged"), ("enteric_tube", "advanced")]


def test_every_concept_leads_to_a_type():
    assert set(TYPE_OF.values()) == set(TYPES)


def test_spanish_reports_are_read():
    assert [d.type for d in devices_in("Tubo endotraqueal sin cambios.", language="es")] == ["endotracheal_tube"]


def test_reports_are_scored_with_the_rule_extractor():
    result = lines_and_tubes(["The ET tube is unchanged."], ["The ET tube is unchanged. Right PICC is new."], extractor=devices_in)

    assert result.corpus["type_recall"] == 1 / 2
    assert result.protocol["extractor"] == "devices_in"
