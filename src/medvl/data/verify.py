"""Compare a dataset's folder with its published release: counts, files that are missing, files that are damaged.

Counts are those of the releases as published; another count does not make a folder wrong (the phantom's are smaller), a missing or
damaged file does. Images are opened, and checksums computed, for a sample that depends on the names alone, or for all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medvl.data import (
    candid_ptx,
    chexmask,
    chexpert,
    mimic_cxr,
    ms_cxr,
    ms_cxr_t,
    nih_cxr14,
    open_i,
    padchest_gr,
    radnli,
    rsna_pneumonia,
    siim_ptx,
    vindr_cxr,
)
from medvl.data.zip_parts import is_member_key
from medvl.records import Study, to_json
from medvl.runtime.errors import InvalidValue, MissingColumns, UserError, did_you_mean

if TYPE_CHECKING:
    from rich.table import Table

CHECKSUMS = "SHA256SUMS.txt"
NAMED = 5  # bad names that a row lists
MIMIC = {"patients": 65_379, "studies": 227_835, "images": 377_110}
SPLITS = {"studies in train": 222_758, "studies in validate": 1_808, "studies in test": 3_269}
LABELLED = {"studies labelled by chexpert": 227_827, "studies labelled by negbio": 227_827, "studies labelled by test_set": 687}
PUBLISHED: Mapping[str, Mapping[str, int]] = {
    "mimic_cxr": MIMIC | {"reports": 227_835},
    "mimic_cxr_jpg": MIMIC | SPLITS | LABELLED,
    "padchest_gr": {"patients": 4_459, "studies": 4_555, "positive sentences": 7_037, "negative sentences": 3_422},
    "ms_cxr": {"patients": 851, "images": 1_047, "phrases": 1_160, "boxes": 1_448},
    "ms_cxr_t": {"image pairs": 1_045, "progression labels": 1_326, "sentence pairs": 361},
    "open_i": {"studies": 3_955, "images": 7_470},
    "radnli": {"pairs in dev": 480, "pairs in test": 480},
    "chexmask": {"images": 243_334},
    "rsna_pneumonia": {"images": 26_684, "boxes": 9_555},
    "siim_ptx": {"images": 12_047},
    "candid_ptx": {"images": 19_237},
    "vindr_cxr": {"images": 18_000},
    "chexpert": {"patients": 64_740, "studies": 187_841, "images": 223_648},
    "nih_cxr14": {"patients": 30_805, "images": 112_120, "boxes": 984},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of the report; ``expected`` is ``None`` where nothing is published."""

    what: str
    expected: int | None
    found: int
    missing: int = 0
    corrupt: int = 0
    first_bad: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a folder holds beside what its release should."""

    dataset: str
    root: str
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is missing or corrupt."""
        return not any(row.missing or row.corrupt for row in self.rows)

    @property
    def as_published(self) -> bool:
        """Whether every published count is met."""
        return all(row.expected in (None, row.found) for row in self.rows)

    def table(self) -> Table:
        """The report as a table for the terminal."""
        from rich.table import Table

        verdict = "as published" if self.as_published else "differs from the published release"
        table = Table(title=f"{self.dataset}: {verdict}", caption=self.root)
        for name in ("", "expected", "found", "missing", "corrupt", "first bad names"):
            table.add_column(name, justify="right" if name in ("expected", "found", "missing", "corrupt") else "left")
        for row in self.rows:
            numbers = (row.expected, row.found, row.missing, row.corrupt)
            table.add_row(row.what, *("" if n is None else f"{n:,}" for n in numbers), "\n".join(row.first_bad))
        return table

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return to_json(self) | {"ok": self.ok, "as_published": self.as_published}


def verify(
    dataset: str, root: Path, *, options: Mapping[str, Any] | None = None, sample: int = 200, all_files: bool = False
) -> VerifyReport:
    """Check a dataset's folder.

    Args:
        dataset: a name of ``PUBLISHED``.
        root: the dataset's folder.
        options: further arguments of its reader, such as ``jpg_root``.
        sample: how many images are opened, and how many files compared with their checksums.
        all_files: check all instead.

    Raises:
        UserError: if there is no such dataset; ``MissingFile`` if the folder or a table that the reader needs is not there.
    """
    if dataset not in PUBLISHED:
        raise UserError(f"there is no dataset {dataset!r}{did_you_mean(dataset, PUBLISHED)}")
    tally = _Tally(None if all_files else sample)
    broken: tuple[str, ...] = ()
    try:
        COUNTERS[dataset](tally, root, options or {})
    except (InvalidValue, MissingColumns) as error:
        broken = (str(error),)
    expected = PUBLISHED[dataset]
    counted = dict.fromkeys((*expected, *(what for what, number in tally.counts.items() if number)))
    rows = [Row(what, expected.get(what), tally.counts[what]) for what in counted]
    if broken:
        rows.append(Row("records", None, 0, corrupt=1, first_bad=broken))
    rows += tally.file_rows()
    if (root / CHECKSUMS).is_file():
        rows.append(_checksums(root, None if all_files else sample))
    return VerifyReport(dataset, str(root), tuple(rows))


class _Tally:
    """Counts what a reader yields, and looks after the image files that it names."""

    def __init__(self, sample: int | None) -> None:
        self.counts: Counter[str] = Counter()
        self._sample = sample
        self._patients: set[str] = set()
        self._present: list[str] = []
        self._absent: list[str] = []

    def add(self, study: Study, *, with_files: bool) -> None:
        """Count one study."""
        self.counts["studies"] += 1
        self.counts["images"] += len(study.views)
        self.counts["reports"] += study.report is not None
        self._patients.add(study.patient_id)
        self.counts["patients"] = len(self._patients)
        if study.split:
            self.counts[f"studies in {study.split}"] += 1
        for source in study.labels:
            self.counts[f"studies labelled by {source}"] += 1
        if with_files:
            for view in study.views:
                name = view.path or view.view_id
                here = view.path is not None and (is_member_key(name) or Path(name).is_file())
                (self._present if here else self._absent).append(name)

    def file_rows(self) -> Iterator[Row]:
        """The image files: those that are there, and those of the sample that open."""
        if not self._present and not self._absent:
            return
        total = len(self._present) + len(self._absent)
        yield Row("image files", total, len(self._present), missing=len(self._absent), first_bad=tuple(sorted(self._absent)[:NAMED]))
        opened = _sampled(self._present, self._sample)
        bad = [name for name in opened if not _opens(name)]
        yield Row("images opened", len(opened), len(opened) - len(bad), corrupt=len(bad), first_bad=tuple(bad[:NAMED]))


def _opens(path: str) -> bool:
    from medvl.data.dicom import UnreadableRadiograph, read_radiograph

    try:
        read_radiograph(path)
    except UnreadableRadiograph:
        return False
    return True


def _sampled(names: Iterable[str], sample: int | None) -> list[str]:
    """A sample that is the same for the same file names, wherever the folder lies; in order of their hashes."""
    if sample is None:
        return sorted(names)
    return heapq.nsmallest(sample, names, key=lambda name: hashlib.sha256(Path(name).name.encode()).digest())


def _checksums(root: Path, sample: int | None) -> Row:
    """The files that the release lists with their checksums."""
    lines = (root / CHECKSUMS).read_text("utf-8", errors="replace").splitlines()
    listed = {name.strip().lstrip("*"): digest for digest, _, name in (line.partition(" ") for line in lines) if name.strip()}
    checked = _sampled(listed, sample)
    missing = [name for name in checked if not (root / name).is_file()]
    corrupt = [name for name in checked if name not in set(missing) and _sha256(root / name) != listed[name].lower()]
    bad = tuple((*missing, *corrupt)[:NAMED])
    return Row("checksums", len(checked), len(checked) - len(missing) - len(corrupt), len(missing), len(corrupt), bad)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mimic_cxr(tally: _Tally, root: Path, options: Mapping[str, Any]) -> None:
    for study in mimic_cxr.read_studies(root, **options):
        tally.add(study, with_files=True)


def _padchest_gr(tally: _Tally, root: Path, options: Mapping[str, Any]) -> None:
    for study in padchest_gr.read_studies(root, **{"with_priors": False, **options}):
        tally.add(study, with_files=True)
        for phrase in study.phrases:
            tally.counts[f"{phrase.polarity} sentences"] += 1


def _ms_cxr(tally: _Tally, root: Path, options: Mapping[str, Any]) -> None:
    for study in ms_cxr.read_studies(root, **options):
        tally.add(study, with_files=bool(options))
        tally.counts["phrases"] += len(study.phrases)
        tally.counts["boxes"] += sum(len(phrase.boxes or ()) for phrase in study.phrases)


def _ms_cxr_t(tally: _Tally, root: Path, options: Mapping[str, Any]) -> None:
    for current, _ in ms_cxr_t.read_image_pairs(root, **options):
        tally.counts["image pairs"] += 1
        tally.counts["progression labels"] += len(current.progression)
    tally.counts["sentence pairs"] = sum(1 for _ in ms_cxr_t.read_pairs(root))


def _open_i(tally: _Tally, root: Path, options: Mapping[str, Any]) -> None:
    with_files = next(root.glob("**/*.png"), None) is not None  # many keep the reports alone
    for study in open_i.read_studies(root, **options):
        tally.add(study, with_files=with_files)


def _radnli(tally: _Tally, root: Path, options: Mapping[str, Any]) -> None:
    for pair in radnli.read_pairs(root, **options):
        tally.counts[f"pairs in {pair.subset}"] += 1


def _chexmask(tally: _Tally, root: Path, options: Mapping[str, Any]) -> None:
    for _, masks in chexmask.read_masks(root, **{"min_quality": 0.0, **options}):
        tally.counts["images"] += 1
        tally.counts["masks"] += sum(bool(mask.any()) for mask in masks.values())


def _films(read_studies: Callable[..., Iterator[Study]], tally: _Tally, root: Path, options: Mapping[str, Any]) -> None:
    """Count films, and the boxes of their findings where there are any."""
    for study in read_studies(root, **options):
        tally.add(study, with_files=True)
        tally.counts["boxes"] += sum(len(phrase.boxes or ()) for phrase in study.phrases)


COUNTERS: Mapping[str, Callable[[_Tally, Path, Mapping[str, Any]], None]] = {
    "mimic_cxr": _mimic_cxr,
    "mimic_cxr_jpg": _mimic_cxr,
    "padchest_gr": _padchest_gr,
    "ms_cxr": _ms_cxr,
    "ms_cxr_t": _ms_cxr_t,
    "open_i": _open_i,
    "radnli": _radnli,
    "chexmask": _chexmask,
    "rsna_pneumonia": partial(_films, rsna_pneumonia.read_studies),
    "siim_ptx": partial(_films, siim_ptx.read_studies),
    "candid_ptx": partial(_films, candid_ptx.read_studies),
    "vindr_cxr": partial(_films, vindr_cxr.read_studies),
    "chexpert": partial(_films, chexpert.read_studies),
    "nih_cxr14": partial(_films, nih_cxr14.read_studies),
}
