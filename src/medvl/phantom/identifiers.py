"""Identifiers in the grammar of MIMIC-CXR: random to look at, without collisions, a pure function of (seed, index).

Patients are 8 digits starting with 1, studies 8 digits starting with 5, images 40 hexadecimal digits in five groups. Numbers come from
a keyed permutation (a four-round Feistel network, walked until it lands inside the range), so that no two indices meet and the order of
study numbers says nothing about time.
"""

from __future__ import annotations

from medvl.phantom.draws import hexadecimal, integer

RANGE = 10_000_000  # patient numbers 10,000,000 … 19,999,999; study numbers 50,000,000 … 59,999,999
VISITS_PER_PATIENT = 5
PATIENTS = RANGE // VISITS_PER_PATIENT  # how many patients can be told apart


def patient_id(seed: int, patient: int) -> str:
    """The identifier of the patient with this index.

    Raises:
        ValueError: if the index is negative or not below ``PATIENTS``.
    """
    if not 0 <= patient < PATIENTS:
        raise ValueError(f"a patient's index lies in 0 … {PATIENTS - 1}, got {patient}")
    return str(RANGE + permuted(patient, RANGE, seed, "patient id"))


def study_id(seed: int, patient: int, visit: int) -> str:
    """The identifier of one visit's study."""
    return str(5 * RANGE + permuted(patient * VISITS_PER_PATIENT + visit, RANGE, seed, "study id"))


def view_id(seed: int, patient: int, visit: int, film: int) -> str:
    """The identifier of one film."""
    digits = hexadecimal(seed, "view id", patient, visit, film)
    return "-".join(digits[i : i + 8] for i in range(0, 40, 8))


def permuted(number: int, size: int, *key: str | int) -> int:
    """The image of ``number`` under a permutation of ``range(size)`` that the key chooses."""
    half = 1 << -(-(size - 1).bit_length() // 2)
    while True:
        left, right = divmod(number, half)
        for turn in range(4):
            left, right = right, left ^ (integer(*key, turn, right) % half)
        number = left * half + right
        if number < size:
            return number
