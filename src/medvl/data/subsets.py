"""Nested subsets of the training patients, for studies of how much data a model needs.

Patients stand in an order that is a pure function of (seed, patient id); a subset is the beginning of that order. So the smaller subset is
always part of the larger one, and patients who join the dataset later do not change the order of the others.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from medvl.data.prepared import PreparedDataset
from medvl.runtime.errors import UserError

LEFT_OUT = "left_out"


class InvalidSubset(UserError):
    """A subset with nobody in it."""


@dataclass(frozen=True, slots=True)
class PatientSubset:
    """Which part of the training patients takes part.

    Attributes:
        size: up to 1, a share of the patients; above 1, a number of studies: patients are taken until the next would exceed it, all of them
            where the dataset has fewer studies.
        seed: of the order of patients.

    Raises:
        InvalidSubset: if the size is not above 0.
    """

    size: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.size > 0:
            raise InvalidSubset(f"a subset's size is a share above 0 and up to 1, or a number of studies above 1; got {self.size}")

    def patients(self, studies: Counter[str]) -> set[str]:
        """The chosen patients.

        Args:
            studies: patient → number of studies.

        Raises:
            InvalidSubset: if nobody is left.
        """
        order = sorted(studies, key=lambda patient: hashlib.sha256(f"{self.seed}/{patient}".encode()).digest())
        chosen = set(order[: round(self.size * len(order))]) if self.size <= 1 else self._until(order, studies)
        if not chosen:
            raise InvalidSubset(f"a subset of size {self.size:g} of {len(order)} patients has nobody in it")
        return chosen

    def of(self, prepared: PreparedDataset, split: str) -> PreparedSubset:
        """A prepared dataset of whose split only the chosen patients are left."""
        return PreparedSubset(prepared.folder, self, split)

    def _until(self, order: list[str], studies: Counter[str]) -> set[str]:
        chosen, taken = set(), 0
        for patient in order:
            taken += studies[patient]
            if taken > self.size:
                break
            chosen.add(patient)
        return chosen


class PreparedSubset(PreparedDataset):
    """A prepared dataset in which the other patients' studies have the split ``left_out``; its ``studies`` are read as they are.

    Args:
        folder: of the prepared dataset.
        subset: whom to keep.
        split: whose patients are chosen from; other splits stay as they are.

    Attributes:
        chosen: the kept patients.
    """

    def __init__(self, folder: Path | str, subset: PatientSubset, split: str) -> None:
        super().__init__(folder)
        self._made_of = (subset, split)
        splits, patients = self.column("split"), self.column("patient_id")
        self.chosen = subset.patients(Counter(patient for patient, name in zip(patients, splits, strict=True) if name == split))
        kept = [LEFT_OUT if name == split and patient not in self.chosen else name for name, patient in zip(splits, patients, strict=True)]
        position = self._index.schema.get_field_index("split")
        self._index = self._index.set_column(position, "split", pa.array(kept, pa.string()))

    def __reduce__(self) -> tuple[type[PreparedDataset], tuple[Any, ...]]:
        return PreparedSubset, (self.folder, *self._made_of)
