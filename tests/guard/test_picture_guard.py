"""Right pictures pass, wrong ones do not, and what the guard keeps brings it back."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from clinimm.data.synthetic.film import draw_anatomy, draw_film
from clinimm.data.synthetic.volume import draw_build, draw_volume
from clinimm.guard.judgement import Judgement, Verdict
from clinimm.guard.pictures import PictureGuard

SIDE = 48


def film(seed: int) -> Tensor:
    anatomy = draw_anatomy(np.random.default_rng([2, seed]))
    shown = frozenset({"pneumonia"} if seed % 3 == 0 else set())
    pixels = draw_film(np.random.default_rng([3, seed]), anatomy, shown).brightness
    return interpolate(torch.from_numpy(pixels).float()[None, None], size=(SIDE, SIDE), mode="bilinear", antialias=True)


def films(seeds: range) -> Tensor:
    return torch.cat([film(seed) for seed in seeds])


def standardized(pixels: Tensor) -> Tensor:
    return (pixels - 0.5) / 0.25


def verdicts(judgements: tuple[Judgement, ...]) -> list[Verdict]:
    return [judgement.verdict for judgement in judgements]


def caught(judgements: tuple[Judgement, ...]) -> float:
    return sum(verdict is not Verdict.OK for verdict in verdicts(judgements)) / len(judgements)


@pytest.fixture(scope="module")
def guard() -> PictureGuard:
    fitted = PictureGuard.fit(standardized(films(range(80))), torch.arange(80) % 4, torch.ones(80, dtype=torch.bool))
    assert fitted is not None
    return fitted


@pytest.fixture(scope="module")
def unseen() -> Tensor:
    return films(range(1000, 1060))


def noise(pixels: Tensor) -> Tensor:
    return torch.rand(pixels.shape, generator=torch.Generator().manual_seed(0))


WRONG: dict[str, Callable[[Tensor], Tensor]] = {
    "inverted": lambda pixels: 1 - pixels,
    "black": torch.zeros_like,
    "white": torch.ones_like,
    "noise": noise,
    "on its side": lambda pixels: pixels.rot90(1, (2, 3)),
    "upside down": lambda pixels: pixels.rot90(2, (2, 3)),
    "a corner of it": lambda pixels: interpolate(pixels[..., : SIDE // 3, : SIDE // 3], size=(SIDE, SIDE)),
}


def test_unseen_valid_pictures_pass(guard: PictureGuard, unseen: Tensor) -> None:
    judged = guard.judge(standardized(unseen))
    assert caught(judged) <= 0.15  # 60 draws at 5 %: over 9 once in a thousand
    assert all(0 <= judgement.percentile <= 100 and not judgement.reasons for judgement in judged if ok(judgement))


def ok(judgement: Judgement) -> bool:
    return judgement.verdict is Verdict.OK


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_pictures_are_caught(guard: PictureGuard, unseen: Tensor, kind: str) -> None:
    assert caught(guard.judge(standardized(WRONG[kind](unseen)))) >= 0.95


@pytest.mark.parametrize(("kind", "reason"), [("inverted", "inverted"), ("on its side", "turned"), ("black", "blank")])
def test_the_reason_is_named(guard: PictureGuard, unseen: Tensor, kind: str, reason: str) -> None:
    judged = guard.judge(standardized(WRONG[kind](unseen[:20])))
    assert sum(judgement.reasons[:1] == (reason,) for judgement in judged) >= 18


def test_a_picture_that_is_not_a_number_is_blocked(guard: PictureGuard) -> None:
    assert verdicts(guard.judge(torch.full((1, 1, SIDE, SIDE), torch.nan))) == [Verdict.BLOCK]


def test_a_batch_of_eight_is_eight_of_one(guard: PictureGuard, unseen: Tensor) -> None:
    pictures = standardized(unseen[:8])
    together, alone = guard.judge(pictures), [guard.judge(pictures[i : i + 1])[0] for i in range(8)]
    assert verdicts(together) == verdicts(tuple(alone))
    assert [one.score for one in together] == pytest.approx([one.score for one in alone], abs=1e-4)


def test_state_and_record_bring_it_back_to_the_last_bit(guard: PictureGuard, unseen: Tensor) -> None:
    back = PictureGuard.restore(guard.state(), guard.record())
    assert back.judge(standardized(unseen[:8])) == guard.judge(standardized(unseen[:8]))
    assert all(torch.equal(back.state()[name], values) for name, values in guard.state().items())


@pytest.mark.slow
def test_kinds_it_never_saw_are_caught_too(unseen: Tensor) -> None:
    blind = PictureGuard.fit(
        standardized(films(range(80))), torch.arange(80) % 4, torch.ones(80, dtype=torch.bool),
        leave_out=("inverted", "turned", "noise", "blank"),
    )  # fmt: skip
    assert blind is not None
    for kind in ("inverted", "black", "noise", "on its side"):
        assert caught(blind.judge(standardized(WRONG[kind](unseen)))) >= 0.95


@pytest.mark.slow
def test_pictures_shown_as_not_valid_are_told_from_the_valid(unseen: Tensor) -> None:
    """Films squeezed to one side stand for another view; a tenth of the training films are such."""
    pixels = films(range(88))
    sideways = torch.cat([pixels[..., ::2], pixels[..., ::2].flip(3) * 0.3], dim=3)
    valid = torch.arange(88) >= 8
    mixed = torch.where(valid[:, None, None, None], pixels, sideways)
    told = PictureGuard.fit(standardized(mixed), torch.arange(88) % 4, valid)
    assert told is not None
    other = torch.cat([unseen[..., ::2], unseen[..., ::2].flip(3) * 0.3], dim=3)
    judged = told.judge(standardized(other))
    assert caught(judged) >= 0.95
    assert sum(judgement.reasons[:1] == ("off_view",) for judgement in judged) > 0.9 * len(judged)
    assert caught(told.judge(standardized(unseen))) <= 0.15


@pytest.mark.slow
def test_volumes_are_judged_by_their_projections() -> None:
    def volume(seed: int) -> Tensor:
        build = draw_build(np.random.default_rng([4, seed]))
        units = draw_volume(np.random.default_rng([5, seed]), build, frozenset()).hounsfield
        return torch.from_numpy(((units + 1000) / 2000).clip(0, 1)).float()[None, None]

    known = torch.cat([volume(seed) for seed in range(30)])
    guard = PictureGuard.fit(standardized(known), torch.arange(30) % 3, torch.ones(30, dtype=torch.bool))
    assert guard is not None
    others = torch.cat([volume(seed) for seed in range(100, 120)])
    assert caught(guard.judge(standardized(others))) <= 0.3
    assert caught(guard.judge(standardized(1 - others))) == 1
    assert caught(guard.judge(standardized(others.transpose(2, 3).flip(2)))) == 1


def test_too_few_pictures_make_no_guard() -> None:
    assert PictureGuard.fit(films(range(10)), torch.arange(10) % 2, torch.ones(10, dtype=torch.bool)) is None
