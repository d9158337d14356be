"""What a cohort on disk depends on: its parameters, the sites and layouts they choose, and the phantom's own code.

The sites share no patient: MIMIC-CXR with all layouts on its images, Open-I with an eighth as many patients, the others with a quarter.
ChestX-ray14, RSNA Pneumonia and SIIM-ACR are of one site, as in reality they are of one archive.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args

import medvl.phantom
from medvl.phantom.export.mimic_cxr import ImageFormat
from medvl.phantom.export.study import Rows
from medvl.phantom.facts import Difficulty
from medvl.phantom.identifiers import VISITS_PER_PATIENT
from medvl.runtime.errors import UserError, did_you_mean

SCHEMA_VERSION = 1
LayoutName = Literal[
    "mimic_cxr", "mimic_iv", "ms_cxr", "ms_cxr_t", "chest_imagenome", "chexmask", "siim", "lunguage", "radnli", "padchest_gr", "open_i",
    "nih_cxr14", "rsna_pneumonia", "siim_acr", "chexpert", "vindr_cxr", "candid_ptx",
]  # fmt: skip
LAYOUTS: tuple[LayoutName, ...] = get_args(LayoutName)
Site = Literal["mimic_cxr", "padchest_gr", "open_i", "nih", "chexpert", "vindr_cxr", "candid_ptx"]
OWN_SITE: dict[str, Site] = {
    "padchest_gr": "padchest_gr",
    "open_i": "open_i",
    "nih_cxr14": "nih",
    "rsna_pneumonia": "nih",
    "siim_acr": "nih",
    "chexpert": "chexpert",
    "vindr_cxr": "vindr_cxr",
    "candid_ptx": "candid_ptx",
}


class Share(NamedTuple):
    """A site's patients: the first one's index in the world, and how many there are for each of MIMIC-CXR's."""

    first: int
    ratio: float


SITES: dict[Site, Share] = {
    "mimic_cxr": Share(0, 1.0),
    "padchest_gr": Share(1_000_000, 0.25),
    "open_i": Share(1_500_000, 0.125),
    "nih": Share(1_100_000, 0.25),
    "chexpert": Share(1_200_000, 0.25),
    "vindr_cxr": Share(1_300_000, 0.25),
    "candid_ptx": Share(1_400_000, 0.25),
}


class Job(NamedTuple):
    """One patient to make: the site and the running number within it, from 0."""

    site: Site
    number: int

    @property
    def patient_index(self) -> int:
        """The patient's index in the world."""
        return SITES[self.site].first + self.number


@dataclass(frozen=True)
class Layout:
    """The two functions of a layout's module, its options filled in."""

    export_study: partial[Rows]
    write_tables: partial[None]


@dataclass(frozen=True)
class CohortSettings:
    """The parameters of a cohort; everything its bytes depend on besides the code. Fields as in ``make_cohort``.

    Raises:
        UserError: for an unknown layout or a number out of range.
    """

    patients: int
    size: int
    seed: int
    difficulty: Difficulty
    layouts: Sequence[str]
    image_format: ImageFormat
    laterals: bool
    packed: bool
    least_visits: int

    def __post_init__(self) -> None:
        if self.patients < 1 or self.size < 32:
            raise UserError(f"patients={self.patients} size={self.size}: at least 1 patient and 32 pixels are needed")
        if not 1 <= self.least_visits <= VISITS_PER_PATIENT:
            raise UserError(f"least_visits={self.least_visits}: a patient has 1 to {VISITS_PER_PATIENT} visits")
        if self.image_format not in get_args(ImageFormat):
            raise UserError(f"there is no image_format {self.image_format!r}{did_you_mean(self.image_format, get_args(ImageFormat))}")
        for name in self.layouts:
            if name not in LAYOUTS:
                raise UserError(f"there is no layout {name!r}{did_you_mean(name, LAYOUTS)}")
        object.__setattr__(self, "layouts", tuple(name for name in LAYOUTS if name in self.layouts))

    def jobs(self) -> list[Job]:
        """Every patient of the sites that the layouts need, in the order of the tables."""
        sites = [site for site in SITES if self.layouts_of(site)]
        return [Job(site, i) for site in sites for i in range(math.ceil(self.patients * SITES[site].ratio))]

    def layouts_of(self, site: Site) -> dict[str, Layout]:
        """The chosen layouts whose patients the site has, with their options."""
        options: dict[str, dict[str, Any]] = {
            "mimic_cxr": {"image_format": self.image_format, "packed": self.packed},
            "padchest_gr": {"packed": self.packed},
        }
        names = [name for name in self.layouts if OWN_SITE.get(name, "mimic_cxr") == site]
        return {name: _layout(import_module(f"medvl.phantom.export.{name}"), options.get(name, {})) for name in names}

    def fingerprint(self) -> str:
        """A hash of the parameters and of the phantom's code."""
        content = json.dumps([SCHEMA_VERSION, asdict(self), code_version()], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


@cache
def code_version() -> str:
    """A hash of the phantom's sources: code, phrase banks, layouts; as they were when first asked for."""
    folder = Path(str(medvl.phantom.__file__)).parent
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".yaml")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _layout(module: ModuleType, options: Mapping[str, Any]) -> Layout:
    return Layout(partial(module.export_study, **options), partial(module.write_tables, **options))
