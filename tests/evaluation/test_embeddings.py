"""What encoders make of inputs, for opponents that get the same features as the fusion."""

import numpy as np
import torch
from small_models import random_batch, small_network

from clinimm.evaluation.embeddings import embed, networks_of, spaces_of


def test_embeddings_are_the_summaries_that_the_fusion_reads():
    network, batch = small_network().eval(), random_batch(70)
    found = embed(network, batch)
    with torch.inference_mode():
        tokens = network.tokens(batch, batch.present)
    for name, part in batch.modalities.items():
        there = part.present.numpy()
        assert found[name].shape == (70, 16)
        np.testing.assert_allclose(found[name][there], tokens[name].values[part.present, 0].numpy(), atol=1e-5)
        assert np.isnan(found[name][~there]).all()


def test_a_case_has_the_same_embedding_alone_and_the_mode_stays():
    network, batch = small_network().train(), random_batch(5)
    every, one = embed(network, batch), embed(network, batch.rows(torch.tensor([3])))
    assert network.training
    for name, rows in every.items():
        np.testing.assert_allclose(one[name][0], rows[3], atol=1e-5)


def test_each_network_has_a_space_in_which_the_patients_it_never_saw_are_clean():
    members = torch.nn.ModuleList([small_network(seed=seed) for seed in (0, 1)])
    train, asked = random_batch(6), random_batch(4, seed=1)
    patients = ["a", "a", "b", "b", "c", "c"]
    spaces = spaces_of(networks_of(members), [{"a"}, {"b", "c"}], train, patients, asked)
    assert [space.clean.tolist() for space in spaces] == [[True] * 2 + [False] * 4, [False] * 2 + [True] * 4]
    assert spaces[0].asked["labs"].shape == (4, 16)
    assert spaces[0].of(np.arange(6) < 3).train["labs"].shape == (3, 16)
