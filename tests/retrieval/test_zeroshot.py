"""Scores from prompts: MedCLIP's classifier by its formula, and what the ensembles mean."""

from pathlib import Path

import pytest
import torch
from conftest import ROOT
from small_backbones import TEXTS, small_backbone
from torch.nn.functional import normalize

from clinimm.backbone.encode import encode_texts
from clinimm.config import Prompts, ZeroShotConfig, ZeroShotTarget, load_as
from clinimm.errors import ConfigError
from clinimm.retrieval.zeroshot import TargetPrompts, class_logits, embed_prompts, target_scores

SCALE = 2.0


def unit(n: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(n, 6, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("ensemble", ["mean", "max"])
def test_class_logits_are_those_of_medclips_classifier(ensemble: str) -> None:
    pictures, classes = unit(4, 0), {"a": unit(3, 1), "b": unit(5, 2)}
    found = class_logits(pictures, classes, ensemble=ensemble, scale=SCALE)
    for column, prompts in enumerate(classes.values()):
        logits = torch.tensor(SCALE).exp() * pictures @ prompts.T
        expected = logits.mean(1) if ensemble == "mean" else logits.max(1).values
        assert torch.allclose(found[:, column], expected, atol=1e-6)


def test_both_scores_rank_alike_and_one_prompt_makes_all_ensembles_one() -> None:
    pictures, prompts = unit(20, 0), TargetPrompts(unit(1, 1), unit(1, 2))
    made = {
        (ensemble, score): target_scores(pictures, prompts, ensemble=ensemble, score=score, scale=SCALE)
        for ensemble in ("mean", "max", "center")
        for score in ("softmax", "difference")
    }
    for (_, score), values in made.items():
        assert torch.allclose(values, made["mean", score], atol=1e-6)
        assert torch.equal(values.argsort(), made["mean", "softmax"].argsort())
    assert bool(((made["mean", "softmax"] > 0) & (made["mean", "softmax"] < 1)).all())
    with pytest.raises(ConfigError, match="choose one of"):
        target_scores(pictures, prompts, ensemble="median", score="softmax", scale=SCALE)


def test_the_center_does_not_punish_prompts_that_differ() -> None:
    picture, prompts = torch.tensor([[1.0, 0.0]]), normalize(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), dim=1)
    found = {
        name: float(class_logits(picture, {"a": prompts}, ensemble=name, scale=0.0))
        for name in ("mean", "max", "center")
    }
    assert found == pytest.approx({"mean": 0.5**0.5, "max": 0.5**0.5, "center": 1.0})


def test_prompts_longer_than_the_tower_are_cut_and_counted() -> None:
    backbone = small_backbone(length=12)
    target = ZeroShotTarget(
        name="effusion",
        positive=Prompts(templates=("{where} pleural effusion",), words={"where": ("left", "right")}),
        negative=Prompts(templates=(" ".join(TEXTS), "Heart size is normal")),
    )
    found = embed_prompts(backbone, [target])
    assert (found.count, found.cut) == (4, 1)
    [alone] = encode_texts(backbone, ["right pleural effusion"])[0]
    assert torch.allclose(found.targets["effusion"].positive[1], alone, atol=1e-6)


def test_the_shipped_config_is_sound() -> None:
    config = load_as(ZeroShotConfig, ROOT / "configs" / "zeroshot_cxr.toml")
    found = embed_prompts(small_backbone(), config.targets)
    assert set(found.targets) == {target.name for target in config.targets}


def test_a_target_without_prompts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "z.toml"
    path.write_text(
        'name = "z"\n[image]\ncolumn = "i"\nsize = [8, 8]\n[[targets]]\nname = "a"\n'
        'positive = { templates = [] }\nnegative = { templates = ["no"] }\n'
    )
    with pytest.raises(ConfigError, match=r"targets\.0\.positive\.templates"):
        load_as(ZeroShotConfig, path)
