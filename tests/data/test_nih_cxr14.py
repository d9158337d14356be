"""NIH ChestX-ray14: a header with commas, boxes with short rows, lists of the parts."""

import pytest

from medvl.data import nih_cxr14
from medvl.records import Box
from medvl.runtime.errors import InvalidBox, InvalidValue, MissingColumns, MissingFile

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
ROWS = (
    "00000001_000.png,Cardiomegaly|Effusion,0,1,57,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,No Finding,1,1,58,M,PA,2682,2749,0.143,0.143",
    "00000002_000.png,Infiltration,0,2,413Y,F,AP,2500,2048,0.168,0.168",
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"


def write(root, *, rows=ROWS, boxes=(), table="Data_Entry_2017_v2020.csv", header=HEADER):
    (root / table).write_text("\n".join((header, *rows)) + "\n")
    (root / "BBox_List_2017.csv").write_text("\n".join((BOX_HEADER, *boxes)) + "\n")


def read(root, **options):
    return list(nih_cxr14.read_studies(root, **options))


def test_every_film_is_a_study_with_fourteen_findings(tmp_path):
    write(tmp_path)
    image = tmp_path / "images_012" / "images" / "00000001_000.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"")

    first, second, third = read(tmp_path)

    assert (first.study_id, first.patient_id, first.sex, first.age) == ("00000001_000", "1", "M", 57)
    assert (first.views[0].view_id, first.views[0].projection, first.views[0].path) == ("00000001_000.png", "PA", str(image))
    assert [name for name, value in first.labels["nih_cxr14"].items() if value == "positive"] == ["Cardiomegaly", "Effusion"]
    assert [name for name, value in second.labels["nih_cxr14"].items() if value == "positive"] == ["No Finding"]
    assert set(first.labels["nih_cxr14"]) == {*nih_cxr14.FINDINGS, "No Finding"}
    assert (third.age, third.sex, third.views[0].projection, third.views[0].path) == (None, "F", "AP", None)


def test_the_older_table_with_its_last_comma_is_read(tmp_path):
    write(tmp_path, table="Data_Entry_2017.csv", header=HEADER + ",", rows=[row + "," for row in ROWS])

    assert len(read(tmp_path)) == 3


def test_boxes_are_of_1024_pixels_in_rows_shorter_than_their_header(tmp_path):
    write(tmp_path, boxes=["00000002_000.png,Infiltrate,512,256,256.0,512", "00000002_000.png,Infiltrate,0,0,512,512,,,"])

    first, _, third = read(tmp_path)

    (phrase,) = third.phrases
    assert (phrase.text, phrase.labels, phrase.view_id) == ("Infiltration", ("Infiltration",), "00000002_000.png")
    assert phrase.boxes == (Box(0.5, 0.25, 0.75, 0.75), Box(0, 0, 0.5, 0.5))
    assert first.phrases == ()


def test_the_lists_are_the_splits_and_a_share_of_train_val_validates(tmp_path):
    rows = [f"{i:08d}_000.png,No Finding,0,{i},57,M,PA,1,1,1,1" for i in range(42)]
    write(tmp_path, rows=rows)
    (tmp_path / "train_val_list.txt").write_text("\n".join(f"{i:08d}_000.png" for i in range(40)))
    (tmp_path / "test_list.txt").write_text("00000040_000.png\n")

    studies = read(tmp_path, shares={"train": 0.5, "validate": 0.5})

    assert {s.split for s in studies[:40]} == {"train", "validate"}
    assert [s.split for s in studies[40:]] == ["test", None]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.png,Edema|Cough,0,1,57,M,PA,1,1,1,1", "row 2: the finding 'Cough'"),
        ("a.png,Edema,0,1,old,M,PA,1,1,1,1", "row 2: could not convert"),
    ],
)
def test_values_that_the_release_does_not_allow_are_named(tmp_path, row, message):
    write(tmp_path, rows=[row])

    with pytest.raises(InvalidValue, match=message):
        read(tmp_path)


@pytest.mark.parametrize(("box", "error"), [("900,0,256,256", InvalidBox), ("1,2,3", InvalidValue), ("a,b,c,d", InvalidValue)])
def test_boxes_that_are_none_are_named(tmp_path, box, error):
    write(tmp_path, boxes=[f"00000002_000.png,Mass,{box}"])

    with pytest.raises(error, match=r"BBox_List_2017\.csv, row 2"):
        read(tmp_path)


def test_missing_tables_and_columns_are_named(tmp_path):
    with pytest.raises(MissingFile, match="Data_Entry_2017_v2020"):
        read(tmp_path)

    write(tmp_path, header="Image Index,Findings", rows=["a.png,Edema"])
    with pytest.raises(MissingColumns, match="'Finding Labels', 'Patient ID'"):
        read(tmp_path)
