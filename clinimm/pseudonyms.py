"""Patients' pseudonyms, hashed: how a model remembers whom it has seen, and is not judged on them unawares."""

import hashlib
from collections.abc import Collection, Sequence


def hashed(patient_id: str) -> str:
    """A patient's pseudonym as `patients.json` holds it: 128 bits of its SHA-256."""
    return hashlib.sha256(patient_id.encode()).hexdigest()[:32]


def known(patient_ids: Sequence[str], seen: Collection[str]) -> tuple[bool, ...] | None:
    """Whether each patient is one of those that a model has seen, given their hashes. None if it is not known whom it
    has seen, so that there are no hashes."""
    return tuple(hashed(patient) in seen for patient in patient_ids) if seen else None
