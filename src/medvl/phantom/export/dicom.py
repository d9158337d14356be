"""One film as a de-identified DICOM file with the header of a MIMIC-CXR radiograph.

Mostly Digital X-Ray, For Presentation; a share is Computed Radiography. Windows are in stored values. Identifiers are derived from the
facts, so the same film gives the same bytes. One uncompressed file in twenty lacks HighBit, as part of another public release does.
"""

from __future__ import annotations

import io

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation, generate_uid

from medvl.phantom.draws import generator
from medvl.phantom.export.study import ExportedStudy, ExportedView

WITHOUT_HIGH_BIT = 0.05
COMPUTED_RADIOGRAPHY = 0.15
DEIDENTIFICATION = {
    "113100": "Basic Application Confidentiality Profile",
    "113105": "Clean Descriptors Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113101": "Clean Pixel Data Option",
    "113103": "Clean Graphics Option",
}
VIEW_CODES = {
    "PA": ("R-10214", "postero-anterior"),
    "AP": ("R-10206", "antero-posterior"),
    "LATERAL": ("R-10236", "left lateral"),
    "LL": ("R-10236", "left lateral"),
}
ORIENTATION_CODES = {True: ("F-10440", "Erect"), False: ("F-10340", "Recumbent")}
DIRECTIONS = {"PA": ["L", "F"], "AP": ["L", "F"], "LATERAL": ["P", "F"]}  # the film's row and column directions


def procedure(study: ExportedStudy) -> str:
    """The name of the examination, e.g. ``CHEST (PA AND LAT)``."""
    projections = {v.acquisition.projection for v in study.views}
    if "LATERAL" in projections:
        return f"CHEST ({'AP' if 'AP' in projections else 'PA'} AND LAT)"
    return "CHEST (PORTABLE AP)" if "AP" in projections else "CHEST (SINGLE VIEW)"


def view_code(view: ExportedView) -> str:
    """The meaning of the view code, which is there even where the view position is missing."""
    return VIEW_CODES[view.acquisition.projection][1]


def orientation_code(view: ExportedView) -> str:
    """``Erect`` or ``Recumbent``."""
    return ORIENTATION_CODES[view.acquisition.erect][1]


def dicom_bytes(study: ExportedStudy, view: ExportedView) -> bytes:
    """The DICOM file of one film, in the transfer syntax of its acquisition."""
    rng = generator("dicom header", view.view_id)
    header = _header(study, view, computed=rng.random() < COMPUTED_RADIOGRAPHY)
    syntax = getattr(pydicom.uid, view.acquisition.transfer_syntax)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian if syntax.is_compressed else syntax
    stored = view.stored
    header.set_pixel_data(stored.values, stored.photometric, stored.bits, generate_instance_uid=False)
    if stored.padding is not None:
        header.PixelPaddingValue = stored.padding
    if syntax.is_compressed:
        header.compress(syntax, generate_instance_uid=False)
    elif rng.random() < WITHOUT_HIGH_BIT:
        del header.HighBit
    file = io.BytesIO()
    header.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _header(study: ExportedStudy, view: ExportedView, *, computed: bool) -> Dataset:
    a, time = view.acquisition, study.visit.time
    uid = {level: generate_uid(entropy_srcs=["medvl", level, key]) for level, key in _uid_keys(study, view).items()}
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.SOPClassUID = ComputedRadiographyImageStorage if computed else DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID = uid["image"], uid["series"], uid["study"]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = f"{time:%Y%m%d}"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = f"{time:%H%M%S}.{time.microsecond // 1000:03d}"
    ds.AccessionNumber = ds.ReferringPhysicianName = ds.PatientName = ds.PatientBirthDate = ""
    ds.Modality = "CR" if computed else "DX"
    ds.Manufacturer = a.manufacturer
    ds.PerformedProcedureStepDescription = procedure(study)
    ds.PatientID, ds.PatientSex = study.patient.patient_id, study.patient.sex
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = study.visit.study_id, 1, study.views.index(view) + 1
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethodCodeSequence = Sequence([_code(value, "DCM", name) for value, name in DEIDENTIFICATION.items()])
    ds.BodyPartExamined, ds.ViewPosition, ds.BurnedInAnnotation = "CHEST", view.view_position, "NO"
    ds.PatientOrientation, ds.Laterality = DIRECTIONS[a.projection], ""
    ds.ProcedureCodeSequence = Sequence([_code("C11", "CLP", procedure(study))])
    ds.AnatomicRegionSequence = Sequence([_code("T-D3000", "SRT", "Chest")])
    ds.ViewCodeSequence = Sequence([_code(VIEW_CODES[a.projection][0], "SNM3", view_code(view))])
    ds.PatientOrientationCodeSequence = Sequence([_code(ORIENTATION_CODES[a.erect][0], "SNM3", orientation_code(view))])
    spacing = [f"{s:.6g}" for s in view.film.pixel_spacing]
    ds.ImagerPixelSpacing = spacing
    if computed:
        ds.PixelSpacing = spacing
    else:
        ds.PresentationIntentType = "FOR PRESENTATION"
        ds.PresentationLUTShape = "INVERSE" if a.photometric == "MONOCHROME1" else "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = (f"{v:.1f}" for v in view.stored.window)
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    return ds


def _uid_keys(study: ExportedStudy, view: ExportedView) -> dict[str, str]:
    return {"image": view.view_id, "series": f"{study.visit.study_id} 1", "study": study.visit.study_id}


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
