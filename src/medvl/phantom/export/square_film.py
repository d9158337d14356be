"""A film as the releases drawn from NIH's archive hold it: 8 bits, stretched to a square, its own age and sex in the header.

The releases' squares have 1024 pixels a side; the phantom's have the cohort's size, while its tables speak of pixels of 1024² as the
releases' do. The DICOM form is Secondary Capture, JPEG baseline, its age without a unit, as in RSNA's and SIIM's. CANDID-PTX, whose films
are such squares and whose headers are not known, takes the same.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, SecondaryCaptureImageStorage

from medvl.geometry import box_to_pixels
from medvl.phantom.export.pixels import jpeg
from medvl.phantom.export.study import ExportedStudy, ExportedView
from medvl.records import Box

GRID = 1024


def positioned_frontals(study: ExportedStudy) -> list[ExportedView]:
    """The frontal films whose header names their projection: the releases hold no others."""
    return [view for view in study.views if view.is_frontal and view.view_position]


def age_at(study: ExportedStudy) -> int:
    """The patient's age in years at the study."""
    return study.patient.age + study.visit.time.year - study.patient.visits[0].time.year


def square_picture(view: ExportedView) -> NDArray[np.uint8]:
    """The displayed film, 8-bit, (size, size)."""
    picture = np.rint(view.film.display * 255).astype(np.uint8)
    return np.asarray(cv2.resize(picture, (view.size, view.size), interpolation=cv2.INTER_AREA), np.uint8)


def square_dicom(study: ExportedStudy, view: ExportedView, uids: tuple[str, str, str], patient_id: str) -> bytes:
    """The DICOM file of one film.

    Args:
        uids: of study, series and image.
    """
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.SOPClassUID, ds.Modality, ds.BodyPartExamined, ds.ConversionType = SecondaryCaptureImageStorage, "CR", "CHEST", "WSD"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = uids
    ds.PatientID = ds.PatientName = patient_id
    ds.PatientSex, ds.ViewPosition = study.patient.sex, view.view_position
    ds.InstanceNumber, ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, 1, "MONOCHROME2", 0
    ds.Rows = ds.Columns = view.size
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.LossyImageCompression, ds.LossyImageCompressionMethod = "01", "ISO_10918_1"
    ds.PixelSpacing = [f"{view.film.pixel_spacing[0]:.6g}"] * 2  # the original's, and square, though the film was stretched
    with pydicom.config.disable_value_validation():
        ds.PatientAge = str(age_at(study))
        ds.PixelData = encapsulate([jpeg(square_picture(view))])
        file = io.BytesIO()
        ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def grid_box(box: Box) -> dict[str, float]:
    """A box as ``x``, ``y``, ``width``, ``height`` in pixels of the grid."""
    return dict(zip(("x", "y", "width", "height"), (round(v, 3) for v in box_to_pixels(box, (GRID, GRID))), strict=True))
