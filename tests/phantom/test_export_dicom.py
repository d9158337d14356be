"""Films as DICOM files."""

import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from exported import exported_study
from pydicom.pixels import pixel_array

from medvl.phantom.export import dicom
from medvl.phantom.export.dicom import dicom_bytes
from medvl.phantom.export.pixels import stored_pixels


def read_back(study, view):
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(study, view)))
    return dataset, pixel_array(dataset)


@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "ExplicitVRLittleEndian", "RLELossless", "JPEG2000Lossless"])
def test_every_transfer_syntax_keeps_the_stored_values(syntax):
    study = exported_study(transfer_syntax=syntax)
    view = study.views[0]

    dataset, values = read_back(study, view)

    assert dataset.file_meta.TransferSyntaxUID == getattr(pydicom.uid, syntax)
    np.testing.assert_array_equal(values, view.stored.values)


@pytest.mark.parametrize("bits", [12, 14, 15])
def test_values_fill_their_bits_without_leaving_them(bits):
    study = exported_study(bits_stored=bits)

    dataset, values = read_back(study, study.views[0])

    assert dataset.BitsStored == bits
    assert 0.85 * 2**bits < int(values.max()) < 2**bits


def test_monochrome1_holds_the_same_film_upside_down():
    light, dark = (exported_study(photometric=p).views[0].stored for p in ("MONOCHROME2", "MONOCHROME1"))
    full = 2**light.bits - 1

    np.testing.assert_array_equal(dark.values, full - light.values)
    assert dark.window[0] == pytest.approx(full - light.window[0], abs=0.2)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_window_shows_lungs_darker_than_the_heart(photometric):
    study = exported_study(photometric=photometric)
    view = study.frontal
    center, width = view.stored.window
    shown = np.clip((view.stored.values - (center - width / 2)) / width, 0, 1)
    shown = shown if photometric == "MONOCHROME2" else 1 - shown
    masks = view.film.masks

    lungs = (masks["lung_left"] | masks["lung_right"]) & ~masks["heart"]

    assert 0.1 < shown[lungs].mean() < shown[masks["heart"]].mean() - 0.1


def test_minimum_and_maximum_leave_the_lungs_a_fair_share_of_the_range():
    study = exported_study(collimation=(0.1, 0.1, 0.1, 0.1))
    values = study.frontal.stored.values.astype(float)
    masks = study.frontal.film.masks
    lungs = (masks["lung_left"] | masks["lung_right"]) & ~masks["heart"]

    low, high = np.percentile(values[lungs], [2, 98])

    assert (high - low) / (values.max() - values.min()) > 0.2


def test_the_header_is_that_of_a_deidentified_chest_film():
    study = exported_study(photometric="MONOCHROME1", view_position_missing=False)
    view = study.frontal

    dataset, _ = read_back(study, view)

    assert (dataset.PatientID, dataset.StudyID) == (study.patient.patient_id, study.visit.study_id)
    assert dataset.Modality in ("DX", "CR")
    assert dataset.ViewPosition == view.acquisition.projection
    assert dataset.ViewCodeSequence[0].CodeMeaning in ("postero-anterior", "antero-posterior")
    assert [c.CodeValue for c in dataset.DeidentificationMethodCodeSequence] == ["113100", "113105", "113107", "113101", "113103"]
    assert str(dataset.PatientName) == ""
    assert list(dataset.ImagerPixelSpacing) == pytest.approx(view.film.pixel_spacing, rel=1e-4)


def test_a_forgotten_view_is_empty_but_its_code_remains():
    study = exported_study(view_position_missing=True)

    dataset, _ = read_back(study, study.views[0])

    assert dataset.ViewPosition == ""
    assert dataset.ViewCodeSequence[0].CodeMeaning


def test_an_uncompressed_file_may_lack_high_bit_and_still_opens(monkeypatch):
    monkeypatch.setattr(dicom, "WITHOUT_HIGH_BIT", 1.0)
    study = exported_study(transfer_syntax="ExplicitVRLittleEndian")

    dataset, values = read_back(study, study.views[0])

    assert "HighBit" not in dataset
    np.testing.assert_array_equal(values, study.views[0].stored.values)


def test_a_film_gives_the_same_bytes_every_time():
    one, two = exported_study(1), exported_study(1)

    assert dicom_bytes(one, one.views[0]) == dicom_bytes(two, two.views[0])


def test_padding_lies_outside_the_range_of_the_film():
    study = exported_study()
    film = study.views[0].film
    acquisitions = (replace(study.views[0].acquisition, view_id=f"film {i}", collimation=(0.1, 0.05, 0.1, 0.05)) for i in range(200))
    padded = [s for a in acquisitions if (s := stored_pixels(film, a)).padding is not None]

    assert 1 <= len(padded) <= 30
    for stored in padded:
        assert (stored.values[0] == stored.padding).all()
        assert (stored.values[20:40, 20:40] != stored.padding).all()
