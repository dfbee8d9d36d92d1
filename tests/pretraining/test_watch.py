"""Retrieval on validation: ranks by hand, one's own patient no error, a collapsed space at chance."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from clinimm.pretraining.joint import Joint
from clinimm.pretraining.watch import monitored, ranks_of, retrieval


def joint(image: Tensor, text: Tensor, patients: list[int], paired: list[bool] | None = None) -> Joint:
    b = len(image)
    here, number = torch.ones(b, dtype=torch.bool), torch.tensor(patients)
    pairs = here if paired is None else torch.tensor(paired)
    none = torch.zeros(b, 1)
    return Joint(
        normalize(image, dim=1), normalize(text, dim=1), here, here, pairs, number, number, none, ~here, none, ~here
    )


def test_ranks_by_hand() -> None:
    near = torch.tensor([[0.5, 0.9, 0.1], [0.2, 0.8, 0.3], [0.4, 0.4, 0.4]])
    others = ~torch.eye(3, dtype=torch.bool)
    assert ranks_of(near, others, torch.ones(3, dtype=torch.bool)).tolist() == [2, 1, 2]
    assert ranks_of(near, others, torch.tensor([True, False, True])).tolist() == [2, 2]


def test_every_pair_found_is_recall_1_and_mrr_1() -> None:
    points = torch.eye(6)
    found = retrieval(joint(points, points, [0, 1, 2, 3, 4, 5]))
    assert found["image_to_text_recall_at_1"] == found["text_to_image_mrr"] == found["image_to_text_median_rank"] == 1
    assert found["image_to_text_chance_recall_at_1"] == pytest.approx(1 / 6)
    assert found["image_to_text_chance_median_rank"] == 3.5


def test_another_text_of_the_same_patient_is_no_error() -> None:
    image = torch.eye(4)
    text = torch.eye(4)[[1, 0, 2, 3]] + 0.3 * image
    assert retrieval(joint(image, text, [0, 0, 1, 2]))["image_to_text_mrr"] == 1
    assert retrieval(joint(image, text, [0, 3, 1, 2]))["image_to_text_mrr"] < 1


def test_a_space_where_all_lie_together_is_at_chance() -> None:
    points = torch.ones(9, 4)
    found = retrieval(joint(points, points, list(range(9))))
    assert found["image_to_text_median_rank"] == found["image_to_text_chance_median_rank"] == 5
    assert found["image_to_text_recall_at_1"] == 0


def test_an_epoch_is_judged_by_ranks_then_by_loss_and_not_at_all_without_a_pair() -> None:
    points = torch.eye(3)
    assert retrieval(joint(points, points, [0, 1, 2], [False] * 3)) == {}
    assert monitored({"val_loss": 2.0}) is None
    assert monitored({"val_loss": 9.0, "val_image_to_text_mrr": 0.5, "val_text_to_image_mrr": 0.3}) == (0.6, 9.0)
