"""Precision by shared findings: by hand, and against chance."""

import numpy as np
import pytest

from clinimm.findings.reader import FindingReader
from clinimm.retrieval.findings import precision_at, sharing, stated_findings

NOTES = (
    "Bilateral pleural effusion. No pneumothorax.",
    "Left pleural effusion and consolidation.",
    "No effusion. Clear lungs.",
    "Consolidation in the right lower lobe. Endotracheal tube in place.",
)


def test_findings_are_those_that_are_stated() -> None:
    reader = FindingReader()
    names = [name for name in reader.observations if name not in ("No Finding", "Support Devices")]
    stated = stated_findings(reader, NOTES)
    assert [{name for name, yes in zip(names, row, strict=True) if yes} for row in stated] == [
        {"Pleural Effusion"},
        {"Pleural Effusion", "Consolidation"},
        set(),
        {"Consolidation"},
    ]


def test_precision_by_hand_without_the_patients_own() -> None:
    found = stated_findings(FindingReader(), NOTES)
    patients = ["a", "a", "b", "c"]
    asked = sharing(found, found, patients, patients)
    similarity = np.array([[9, 8, 2, 1], [9, 8, 1, 2], [3, 2, 9, 1], [1, 2, 3, 9]], float)
    assert precision_at(similarity, asked, 1).tolist() == [0, 1, 0, 0]
    assert precision_at(similarity, asked, 2)[[1, 3]].tolist() == [0.5, 0.5]
    assert asked.chance[[1, 3]].tolist() == [0.5, pytest.approx(1 / 3)]
    same = sharing(found, found, ["a", "b", "c", "d"], ["a", "b", "c", "d"], same=True)
    assert not same.relevant[1, [0, 2, 3]].any()


def test_a_search_that_knows_nothing_is_at_chance() -> None:
    rng = np.random.default_rng(0)
    found = rng.random((400, 5)) < 0.2
    found[:, 0] |= ~found.any(1)
    patients = [str(i // 2) for i in range(400)]
    asked = sharing(found, found, patients, patients)
    for similarity in (rng.random((400, 400)), np.zeros((400, 400))):
        assert precision_at(similarity, asked, 5).mean() == pytest.approx(asked.chance.mean(), abs=0.03)
    perfect = precision_at(asked.relevant.astype(float), asked, 5)
    assert perfect.min() == 1
