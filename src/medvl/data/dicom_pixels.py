"""The pixel data of a DICOM dataset as the words that are stored, whatever the transfer syntax.

Decoding is pydicom's, with the fastest free decoder that is installed for each syntax; RLE is left to its own, as the faster one
crashes loudly over runs that leave the image. What a compressed frame says of its size is checked first (``dicom_codestream``).
"""

from __future__ import annotations

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import JPEGExtended12Bit, RLELossless

from medvl.data.dicom_codestream import check_codestream, check_rle
from medvl.data.intensity import NotARadiograph

DECODERS = ("pylibjpeg", "pyjpegls", "pillow", "gdcm", "pydicom")  # in order of preference

Words = NDArray[np.uint8] | NDArray[np.uint16]


def stored_words(ds: pydicom.Dataset) -> tuple[Words, str]:
    """The stored words (H, W) of a single-frame grey image of 8 or 16 bits allocated, and the decoder's name.

    Raises:
        NotARadiograph: if no decoder is installed for the transfer syntax, or all of them fail.
    """
    syntax = ds.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise NotARadiograph("its header names no transfer syntax")
    if not syntax.is_compressed or syntax.is_deflated:
        return _right_justified(_native(ds), ds), "native"
    try:
        available = get_decoder(syntax).available_plugins
    except NotImplementedError as error:
        raise NotARadiograph("its transfer syntax is not one of still images") from error
    if not available:
        raise NotARadiograph(f"no decoder for {syntax.name} is installed. Try: pip install 'medvl[dicom]'")
    frame = get_frame(ds.PixelData, 0, number_of_frames=1)
    if syntax == RLELossless:
        check_rle(frame, ds.Rows * ds.Columns)
        available = ("pydicom",)
    else:
        check_codestream(frame, ds.Rows, ds.Columns)
    for plugin in sorted(available, key=DECODERS.index):
        try:
            words = _decoded(ds, plugin)
        except Exception:  # each decoder has its own exceptions; the next may do better
            continue
        return (_right_justified(words, ds) if syntax == RLELossless else words), plugin
    hint = ". Try: pip install pylibjpeg-libjpeg (GPL)" if syntax == JPEGExtended12Bit else ""
    raise NotARadiograph(f"its pixel data cannot be decoded as {syntax.name} (tried: {', '.join(available)}){hint}")


def _native(ds: pydicom.Dataset) -> Words:
    try:
        return _decoded(ds, "")
    except (ValueError, AttributeError) as error:
        raise NotARadiograph(f"its pixel data cannot be read ({str(error).partition(' - ')[0]})") from error


def _decoded(ds: pydicom.Dataset, plugin: str) -> Words:
    """The words as decoded, bits above those stored included: the grey levels leave them out."""
    values = pixel_array(ds, raw=True, decoding_plugin=plugin, view_only=True, correct_unused_bits=False)
    if values.shape != (ds.Rows, ds.Columns) or values.dtype.itemsize > 2:
        raise ValueError(f"decoded to {values.shape} {values.dtype}, not what the header says")
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    return native.view(np.uint8) if native.dtype.itemsize == 1 else native.view(np.uint16)


def _right_justified(words: Words, ds: pydicom.Dataset) -> Words:
    """Words whose stored bits lie at the upper end of their container, as older editions of PS3.5 8.1 allow, moved to the lower end.

    A codestream holds numbers, not containers, and needs none of it; a HighBit that leaves the container says nothing.
    """
    high, allocated, stored = ds.get("HighBit"), ds.BitsAllocated, ds.BitsStored
    if not isinstance(high, int) or not stored <= high < allocated:
        return words
    return words >> (high + 1 - stored)
