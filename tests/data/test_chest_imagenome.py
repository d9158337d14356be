"""Chest ImaGenome: silver labels of change from scene graphs."""

import json
import zipfile

import pytest

from medvl.data import chest_imagenome
from medvl.records import Progression, Study, View
from medvl.runtime.errors import InvalidValue, MissingFile

STUDY = Study("mimic_cxr", "1", "2", views=(View("now", projection="AP"), View("side", projection="LATERAL")))


def relation(direction, *findings, region="right lung"):
    return {
        "relationship_names": [f"comparison|yes|{direction}"],
        "attributes": [f"anatomicalfinding|yes|{finding}" for finding in findings] + ["tubesandlines|yes|chest tube"],
        "bbox_name": region,
        "subject_id": f"now_{region}",
        "object_id": f"before_{region}",
    }


def write(root, *relations, view="now"):
    path = root / "silver_dataset" / "scene_graph.zip"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"scene_graph/{view}_SceneGraph.json", json.dumps({"image_id": view, "relationships": relations}))
    return root


def read(root, study=STUDY):
    (found,) = chest_imagenome.with_progression([study], root)
    return found


def test_a_findings_direction_is_its_progression_and_devices_are_none(tmp_path):
    write(tmp_path, relation("worsened", "lung opacity", "consolidation"), relation("no change", "atelectasis"))

    expected = {name: Progression("worsened", "silver") for name in ("lung opacity", "consolidation")}
    assert read(tmp_path).progression == expected | {"atelectasis": Progression("no change", "silver")}


def test_a_region_that_moved_outweighs_one_that_did_not(tmp_path):
    write(tmp_path, relation("no change", "edema"), relation("improved", "edema", region="left lung"))

    assert read(tmp_path).progression == {"edema": Progression("improved", "silver")}


def test_regions_that_go_different_ways_leave_their_finding_out(tmp_path):
    write(tmp_path, relation("worsened", "edema"), relation("improved", "edema", region="left lung"))

    assert read(tmp_path) == STUDY


def test_labels_that_a_study_has_win(tmp_path):
    write(tmp_path, relation("worsened", "edema"))
    study = Study("mimic_cxr", "1", "2", views=STUDY.views, progression={"edema": Progression("stable", "gold")})

    assert read(tmp_path, study).progression == {"edema": Progression("stable", "gold")}


def test_studies_whose_films_have_no_graph_stay_as_they_are(tmp_path):
    write(tmp_path, relation("worsened", "edema"), view="side")

    assert read(tmp_path) is STUDY


def test_an_unpacked_folder_serves_as_well(tmp_path):
    write(tmp_path, relation("worsened", "edema"))
    archive = tmp_path / "silver_dataset" / "scene_graph.zip"
    zipfile.ZipFile(archive).extractall(archive.parent)
    archive.unlink()

    assert read(tmp_path).progression == {"edema": Progression("worsened", "silver")}


@pytest.mark.parametrize(
    ("relations", "message"),
    [([relation("vanished", "edema")], "'vanished' is not one of"), ([{"relationship_names": []}], "has no 'attributes'")],
)
def test_a_graph_that_is_not_as_released_is_named(tmp_path, relations, message):
    write(tmp_path, *relations)

    with pytest.raises(InvalidValue, match=f"now_SceneGraph.*{message}"):
        read(tmp_path)


def test_missing_and_damaged_archives_are_named(tmp_path):
    with pytest.raises(MissingFile, match=r"scene_graph\.zip"):
        read(tmp_path)

    write(tmp_path)
    (tmp_path / "silver_dataset" / "scene_graph.zip").write_bytes(b"PK")
    with pytest.raises(InvalidValue, match=r"scene_graph\.zip, archive"):
        read(tmp_path)
