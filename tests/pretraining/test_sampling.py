"""Rows of a step: every case once an epoch, texts where they belong, all by the seed alone."""

from dataclasses import replace

import torch
from small_corpora import HABITS, small_corpus

from clinimm.pretraining.corpus import NONE
from clinimm.pretraining.sampling import Habits, draw, draws, generator_of, plain, seed_of

CORPUS = small_corpus(40)
ALL = torch.arange(40)


def test_every_case_stands_in_an_epoch_once_in_batches_of_like_size() -> None:
    batches = list(draws(CORPUS, HABITS, 12, seed=0, epoch=0))
    assert sorted(torch.cat([batch.cases for batch in batches]).tolist()) == ALL.tolist()
    assert {len(batch) for batch in batches} == {10}


def test_the_same_seed_and_epoch_draw_the_same_and_others_do_not() -> None:
    def first(seed: int, epoch: int) -> torch.Tensor:
        return next(draws(CORPUS, HABITS, 40, seed, epoch)).cases

    assert torch.equal(first(1, 2), first(1, 2))
    assert not torch.equal(first(1, 2), first(2, 1))
    assert len({seed_of(a, b) for a in range(30) for b in range(30)}) == 900


def test_a_sentence_beside_a_picture_is_of_its_own_text() -> None:
    rows = draw(CORPUS, ALL, Habits(sentence=1.0), generator_of(0))
    own = CORPUS.sentences[ALL]
    has = CORPUS.whole != NONE
    assert bool(((rows.texts >= own[:, 0]) & (rows.texts < own[:, 1]))[has].all())
    assert torch.equal(rows.paired, has & (CORPUS.picture != NONE))
    assert torch.equal(rows.texts == NONE, ~has)


def test_decoupled_sentences_are_never_called_pairs_and_come_from_everywhere() -> None:
    rows = draw(CORPUS, ALL, Habits(decoupled=1.0), generator_of(0))
    with_picture = CORPUS.picture != NONE
    assert not rows.paired.any()
    first, past = CORPUS.every_sentence
    assert bool(((rows.texts >= first) & (rows.texts < past))[with_picture].all())
    assert len(rows.texts[with_picture].unique()) > 15
    assert bool((rows.texts == CORPUS.whole)[~with_picture].any())  # a text without a picture keeps its own


def test_a_prompt_stands_only_beside_a_picture_that_shows_its_finding_and_has_no_text() -> None:
    rows = draw(CORPUS, ALL, Habits(prompts=True), generator_of(0))
    prompted = rows.texts >= int(CORPUS.prompts[0, 0])
    without = (CORPUS.picture != NONE) & (CORPUS.whole == NONE)
    assert torch.equal(prompted, without & (CORPUS.labels[:, 0] > 0))
    assert prompted.any()
    assert not (rows.paired & prompted).any()


def test_nothing_is_hidden_where_there_is_nothing() -> None:
    rows = draw(CORPUS, ALL, replace(HABITS, prompts=False, decoupled=0.0), generator_of(0))
    assert rows.chosen is not None
    assert rows.covered is not None
    assert not rows.chosen[rows.texts == NONE].any()
    assert not rows.covered[rows.pictures == NONE].any()
    assert rows.chosen[rows.texts != NONE].any(1).all()


def test_validation_sees_whole_texts_and_unshaken_pictures() -> None:
    rows = plain(CORPUS, ALL, Habits().hiding, generator_of(0))
    assert torch.equal(rows.texts, CORPUS.whole)
    assert rows.shakes is None
