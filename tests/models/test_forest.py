"""Soft trees: scikit-learn's with their splits blurred."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier

from clinimm.training.learner import softened


def grown(seed: int, n: int = 120, features: int = 4) -> tuple[ExtraTreesClassifier, np.ndarray]:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, features)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + 0.3 * draw.normal(size=n) > 0
    return ExtraTreesClassifier(7, min_samples_leaf=3, random_state=seed).fit(x, y), x


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_with_hardly_any_blur_the_forest_answers_as_scikit_learn_does(seed: int) -> None:
    trees, x = grown(seed)
    forest = softened([one.tree_ for one in trees.estimators_], blur=1e-7)
    wanted = np.clip(trees.predict_proba(x)[:, 1], 0.003, 0.997)
    assert np.allclose(torch.sigmoid(forest(torch.from_numpy(x))).numpy(), wanted, atol=1e-4)


def test_a_little_blur_changes_little_and_lets_a_gradient_through() -> None:
    trees, x = grown(1)
    parts = [one.tree_ for one in trees.estimators_]
    rows = torch.from_numpy(x).requires_grad_()
    soft = torch.sigmoid(softened(parts, blur=0.1)(rows))
    soft.sum().backward()
    assert rows.grad is not None
    assert float(rows.grad[:, :2].abs().mean()) > float(rows.grad[:, 2:].abs().mean())
    assert np.abs(soft.detach().numpy() - trees.predict_proba(x)[:, 1]).mean() < 0.1


def test_shares_of_a_case_over_the_leaves_sum_to_one_in_each_tree() -> None:
    trees, x = grown(2)
    forest = softened([one.tree_ for one in trees.estimators_], blur=0.3)
    forest.value.fill_(1.0)
    forest.lay_out()  # then the mean over the leaves is the sum of the shares
    assert torch.allclose(forest.probability(torch.from_numpy(x)), torch.ones(len(x)), atol=1e-5)


def test_a_tree_of_one_leaf_says_the_prevalence() -> None:
    x, y = np.zeros((10, 2), dtype=np.float32), np.arange(10) < 3
    trees = ExtraTreesClassifier(3, random_state=0).fit(x, y)
    forest = softened([one.tree_ for one in trees.estimators_], blur=0.1)
    assert torch.allclose(torch.sigmoid(forest(torch.zeros(2, 2))), torch.tensor(0.3), atol=1e-6)
