"""One step's gradient: of the whole batch, cached or not, nothing for the absent, finite where there is next to nothing
to learn from."""

from dataclasses import replace

import pytest
import torch
from small_corpora import HABITS, apart, exact, gradients, small_corpus, small_encoders, small_learner
from torch import nn

from clinimm.pretraining.corpus import NONE, Corpus
from clinimm.pretraining.encoders import Encoders
from clinimm.pretraining.processes import Processes
from clinimm.pretraining.sampling import Draw, draw, generator_of, seed_of
from clinimm.pretraining.step import Learner, backward, joint_of, rows_of

SEED = (0, 0, 0)


def drawn(corpus: Corpus, seed: int = 0) -> Draw:
    return draw(corpus, torch.arange(len(corpus)), HABITS, generator_of(seed))


def with_a_graph(learner: Learner, encoders: Encoders, corpus: Corpus, rows: Draw, size: int) -> None:
    """The plain way: every micro-batch encoded with a graph, one loss, one backward."""
    parts = [rows.part(at, min(at + size, len(rows))) for at in range(0, len(rows), size)]
    encoded = []
    for i, part in enumerate(parts):
        torch.manual_seed(seed_of(*SEED, i, 0))
        encoded.append(encoders(rows_of(corpus, part, torch.device("cpu"))))
    image, text = torch.cat([one.image for one in encoded]), torch.cat([one.text for one in encoded])
    loss = learner.objectives(joint_of(learner, corpus, rows, image, text), generator_of(*SEED))["total"]
    for i, name in enumerate(("masked_words", "masked_patches")):
        hidden = sum(one.hidden_loss[i] for one in encoded) / sum(one.hidden_count[i] for one in encoded)
        loss = loss + learner.weights[name] * hidden
    loss.backward()


@pytest.mark.parametrize("size", [3, 5, 12])
def test_cached_gradients_are_those_of_the_same_micro_batches_with_a_graph(size: int) -> None:
    corpus, rows = exact(small_corpus()), drawn(small_corpus())
    found = []
    for cached in (True, False):
        encoders = small_encoders(dropout=0.3).double().train()
        learner = small_learner(encoders, micro_batch=size)
        if cached:
            backward(learner, corpus, rows, SEED)
        else:
            with_a_graph(learner, encoders, corpus, rows, size)
        found.append(gradients(encoders, learner))
    assert apart(*found) < 1e-9


def test_micro_batches_change_nothing_where_nothing_depends_on_the_batch() -> None:
    corpus, rows = exact(small_corpus()), drawn(small_corpus())
    found, told = [], []
    for size in (None, 4, 1):
        encoders = small_encoders().double().train()
        learner = small_learner(encoders, micro_batch=size)
        told.append(float(backward(learner, corpus, rows, SEED)["total"]))
        found.append(gradients(encoders, learner))
    assert told == pytest.approx([told[0]] * 3, rel=1e-9)
    assert apart(found[0], found[1]) < 1e-9
    assert apart(found[0], found[2]) < 1e-9


def test_running_statistics_are_learned_once() -> None:
    corpus, rows = small_corpus(have=("both",)), drawn(small_corpus(have=("both",)))
    encoders = small_encoders(norm="batch").train()
    backward(small_learner(encoders, hidden={}, micro_batch=6), corpus, replace(rows, covered=None), SEED)
    norms = [layer for layer in encoders.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert [int(layer.num_batches_tracked) for layer in norms] == [2] * len(norms)


def test_what_absent_rows_hold_and_how_many_there_are_changes_no_gradient() -> None:
    corpus = exact(small_corpus())
    rows = drawn(corpus)
    found = []
    for padded in (False, True):
        encoders = small_encoders().double().train()
        learner = small_learner(encoders, {"info_nce": 1.0, "semantic": 1.0})
        if padded:
            filled = rows.part(0, len(rows) + 5)
            none = filled.cases == NONE
            assert int(none.sum()) == 5
            rows = replace(filled, cases=torch.where(none, 0, filled.cases))
        backward(learner, corpus, rows, SEED)
        found.append(gradients(encoders, learner))
    assert apart(*found) < 1e-5  # the objectives are float32


def test_a_modality_nobody_has_gets_zero_gradient_and_every_weight_takes_part() -> None:
    corpus = small_corpus(have=("image",))
    encoders = small_encoders().train()
    learner = small_learner(encoders, hidden={"masked_patches": 1.0})
    backward(learner, corpus, replace(drawn(corpus), texts=torch.full((12,), NONE)), SEED)
    text = [weight.grad for weight in encoders.text.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in text)
    assert any(weight.grad is not None and weight.grad.any() for weight in encoders.image.parameters())


@pytest.mark.parametrize("have", [("both",), ("image",), ("text",), ("image", "text")])
@pytest.mark.parametrize("cases", [1, 2, 5])
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_batches_with_next_to_nothing_have_finite_losses(have: tuple[str, ...], cases: int, norm: str) -> None:
    corpus = small_corpus(cases, have=have)
    encoders = small_encoders(norm=norm).train()
    learner = small_learner(encoders)
    told = backward(learner, corpus, drawn(corpus), SEED)
    assert all(bool(torch.isfinite(value)) for value in told.values())
    assert all(bool(torch.isfinite(value).all()) for value in gradients(encoders, learner).values())


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_labels_all_equal_have_a_finite_loss(value: float) -> None:
    corpus = small_corpus()
    texts = corpus.texts._replace(labels=torch.full_like(corpus.texts.labels, value))
    alike = replace(corpus, texts=texts, labels=torch.full_like(corpus.labels, value))
    told = backward(small_learner(small_encoders().train()), alike, drawn(alike), SEED)
    assert bool(torch.isfinite(told["total"]))


def test_without_joint_objectives_hidden_words_are_learned_still() -> None:
    corpus = small_corpus()
    encoders = small_encoders().train()
    learner = small_learner(encoders, {}, {"masked_words": 1.0})
    told = backward(learner, corpus, drawn(corpus), SEED)
    assert float(told["total"]) == pytest.approx(float(told["masked_words"]))
    assert encoders.text.word_vectors().grad is not None


def test_bfloat16_loses_little() -> None:
    corpus, rows = small_corpus(), drawn(small_corpus())
    told = [
        backward(small_learner(small_encoders().train(), processes=Processes(bf16=half)), corpus, rows, SEED)["total"]
        for half in (False, True)
    ]
    assert float(told[1]) == pytest.approx(float(told[0]), rel=0.02)
    assert float(told[1]) != float(told[0])


def test_parts_of_processes_together_are_the_whole_batch() -> None:
    rows = drawn(small_corpus(11))
    for world in (1, 2, 3, 4, 13):
        spans = [Processes(rank, world).own(len(rows)) for rank in range(world)]
        parts = [rows.part(*span) for span in spans]
        assert len({len(part) for part in parts}) == 1
        assert torch.equal(torch.cat([part.cases for part in parts])[: len(rows)], rows.cases)
        assert bool((torch.cat([part.pictures for part in parts])[len(rows) :] == NONE).all())
