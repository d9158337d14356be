"""Small DICOM films for the tests of the pixel door."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

RAMP = np.arange(40 * 48, dtype=np.uint16).reshape(40, 48) * 2 + 100  # 100 … 3938


def film(values: NDArray[Any] = RAMP, *, photometric: str = "MONOCHROME2", bits: int = 12, **tags: Any) -> Dataset:
    """A computed radiograph of the given stored values; a tag of ``None`` is left out."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = DigitalXRayImageStorageForPresentation, UID("1.2.3")
    ds.Modality, ds.ViewPosition = "CR", "PA"
    ds.PatientName, ds.PatientID, ds.InstitutionName = "SECRET^NAME", "SECRET-ID", "SECRET HOSPITAL"
    ds.set_pixel_data(values, photometric, bits, generate_instance_uid=False)
    for name, value in tags.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    return ds


def write_film(path: Path, values: NDArray[Any] = RAMP, **options: Any) -> Path:
    """Write ``film(values, **options)`` to a file."""
    film(values, **options).save_as(path, enforce_file_format=True)
    return path


def table(entries: Any, first: int, bits: int = 16) -> list[Dataset]:
    """A lookup table's sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", [int(e) for e in entries])
    return [item]
