"""MedCLIP in and out: our towers compute what its own code does, and its checkpoint comes back bit for bit."""

import zipfile
from pathlib import Path

import medclip_files
import pytest
import torch
from medclip_files import SIZE, WIDTH, WORDS, checkpoint, original_image, original_text, state_dict
from small_backbones import TEXTS
from small_foreign import assert_blocks_hold, assert_round_trip, image_half, imported, text_half

from clinimm.backbone.encode import encode_pictures, encode_texts, tokenize
from clinimm.backbone.foreign import read_checkpoint
from clinimm.backbone.transfer import export_backbone, import_backbone
from clinimm.errors import BackboneError, ConfigError

PIXELS = torch.rand(3, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("tower", ["swin", "resnet"])
def test_the_image_tower_computes_what_the_original_does(tower: str, tmp_path: Path) -> None:
    backbone = imported(checkpoint(tmp_path / "in", tower), "medclip", tmp_path / "out", size=SIZE)
    with torch.no_grad():
        found = image_half(backbone)(PIXELS)
    torch.testing.assert_close(found, original_image(tower, PIXELS), rtol=1e-5, atol=1e-5)
    assert backbone.scale == pytest.approx(2.6593)
    assert encode_pictures(backbone, PIXELS).shape == (3, WIDTH)


def test_the_text_tower_reproduces_the_original_that_counts_padding(tmp_path: Path) -> None:
    options = {"pooling": "layers_with_padding", "size": SIZE}
    backbone = imported(checkpoint(tmp_path / "in"), "medclip", tmp_path / "out", **options)
    tower, tokenizer = text_half(backbone)
    pieces = tokenize(tokenizer, TEXTS, tower.length)
    with torch.no_grad():
        found = tower(pieces.ids, pieces.mask)
    torch.testing.assert_close(found, original_text(pieces.ids, pieces.mask.long()), rtol=1e-5, atol=1e-5)


def test_by_default_padding_does_not_move_a_text(tmp_path: Path) -> None:
    backbone = imported(checkpoint(tmp_path / "in"), "medclip", tmp_path / "out", size=SIZE)
    tower, tokenizer = text_half(backbone)
    with torch.no_grad():
        for text in TEXTS:
            long = tokenize(tokenizer, [text], tower.length)
            n = int(long.mask.sum())
            bare = original_text(long.ids[:, :n], torch.ones(1, n, dtype=torch.long))
            torch.testing.assert_close(tower(long.ids, long.mask), bare, rtol=1e-5, atol=1e-5)
    vectors, cut = encode_texts(backbone, ["heart " * 60])
    assert vectors.norm(dim=1).item() == pytest.approx(1)
    assert cut == (60 + 2 - 40,)


@pytest.mark.parametrize("tower", ["swin", "resnet"])
def test_every_weight_of_what_reads_lies_in_one_block(tower: str, tmp_path: Path) -> None:
    backbone = imported(checkpoint(tmp_path / "in", tower), "medclip", tmp_path / "out", size=SIZE)
    assert_blocks_hold(image_half(backbone), PIXELS, ("projection.",))
    text, tokenizer = text_half(backbone)
    assert len(text.blocks()) == 4
    assert_blocks_hold(text, tokenize(tokenizer, TEXTS, text.length).ids, ("projection.",))


@pytest.mark.parametrize("tower", ["swin", "resnet"])
@pytest.mark.parametrize("ending", [".bin", ".safetensors"])
def test_export_gives_the_checkpoint_back_bit_for_bit(tower: str, ending: str, tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "in", tower)
    imported(path, "medclip", tmp_path / "out", size=SIZE)
    assert_round_trip(tmp_path / "out", path, tmp_path / f"again{ending}")


@pytest.mark.parametrize("number", [torch.float16, torch.bfloat16])
def test_half_precision_wrappers_and_prefixes_come_back_too(number: torch.dtype, tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "in")
    cast = {f"module.{k}": v.to(number) if v.is_floating_point() else v for k, v in state_dict("swin").items()}
    torch.save({"state_dict": cast}, path)
    backbone = imported(path, "medclip", tmp_path / "out", size=SIZE)
    assert all(weight.dtype == torch.float32 for weight in image_half(backbone).parameters())
    assert_round_trip(tmp_path / "out", path, tmp_path / "again.pt")
    again = read_checkpoint(tmp_path / "again.pt")
    assert (again.wrapper, again.prefix) == ("state_dict", "module.")


@pytest.mark.parametrize("prefix", ["vision_model.", ""])
@pytest.mark.parametrize("tower", ["swin", "resnet"])
def test_an_image_tower_alone_is_a_backbone(prefix: str, tower: str, tmp_path: Path) -> None:
    alone = {
        prefix + name.removeprefix("vision_model."): tensor
        for name, tensor in state_dict(tower).items()
        if name.startswith("vision_model.")
    }
    torch.save(alone, tmp_path / "vision.bin")
    backbone = imported(tmp_path / "vision.bin", "medclip", tmp_path / "out", size=SIZE)
    assert backbone.towers.keys() == {"image"}
    with torch.no_grad():
        torch.testing.assert_close(image_half(backbone)(PIXELS), original_image(tower, PIXELS), rtol=1e-5, atol=1e-5)
    assert_round_trip(tmp_path / "out", tmp_path / "vision.bin", tmp_path / "again.bin")


def test_names_of_transformers_5_give_the_same_backbone(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "in")
    vision = {f"vision_model.model.{name}": tensor for name, tensor in medclip_files.swin().state_dict().items()}
    others = {k: v for k, v in state_dict("swin").items() if not k.startswith("vision_model.model.")}
    torch.save(vision | others, path)
    backbone = imported(path, "medclip", tmp_path / "out", size=SIZE)
    with torch.no_grad():
        torch.testing.assert_close(image_half(backbone)(PIXELS), original_image("swin", PIXELS), rtol=1e-5, atol=1e-5)


def test_the_zip_it_comes_in_is_read_and_the_report_says_what_went_where(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "in" / "medclip.zip", "w") as archive:
        archive.write(path, "medclip/pytorch_model.bin")
    report = import_backbone(tmp_path / "in" / "medclip.zip", "medclip", tmp_path / "out", {"size": SIZE})
    whole = state_dict("swin")
    assert report.used.keys() | report.dropped.keys() == whole.keys()
    assert not report.used.keys() & report.dropped.keys()
    assert {name.rpartition("embeddings.")[2] for name in report.dropped if "text" in name} == {
        "position_ids", "text_model.model.pooler.dense.weight", "text_model.model.pooler.dense.bias",
    }  # fmt: skip
    assert sum(report.keys.values()) == len(report.used)
    again = import_backbone(path, "medclip", tmp_path / "twice", {"size": SIZE})
    assert (again.parameters, again.width) == (report.parameters, WIDTH)


BROKEN = {
    "vision_model__model__layernorm__weight": (None, "missing: vision_model.model.layernorm.weight (16,)"),
    "vision_model__model__encoder__layers__1__blocks__1__attention__self__query__weight": (
        None, "missing: vision_model.model.encoder.layers.1.blocks.1.attention.self.query.weight (16, 16)",
    ),
    "text_model__projection_head__weight": (
        torch.zeros(WIDTH, 5), f"text_model.projection_head.weight: has shape ({WIDTH}, 5), expected ({WIDTH}, 128)",
    ),
    "stray__weight": (torch.zeros(2), "unexpected: stray.weight (2,)"),
    "logit_scale": (torch.tensor([torch.nan]), "logit_scale: holds NaN"),
}  # fmt: skip


def test_a_checkpoint_with_many_faults_is_told_them_all_and_writes_nothing(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "in", **{name: tensor for name, (tensor, _) in BROKEN.items()})
    with pytest.raises(BackboneError) as caught:
        import_backbone(path, "medclip", tmp_path / "out", {"size": SIZE})
    assert f"{len(BROKEN)} key(s) at fault" in str(caught.value)
    for _, said in BROKEN.values():
        assert said in str(caught.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in"]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("vision_model.model.embeddings.patch_embeddings.projection.weight", (16, 3, 4, 4)),
        ("vision_model.model.encoder.layers.0.blocks.0.attention.self.relative_position_bias_table", (25, 1)),
        ("text_model.model.encoder.layer.0.intermediate.dense.weight", (48, 128)),
        ("text_model.model.embeddings.word_embeddings.weight", (len(WORDS), 64)),
    ],
)
def test_one_misshapen_tensor_is_blamed_alone(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "in", **{name.replace(".", "__"): torch.zeros(shape)})
    with pytest.raises(BackboneError, match=r"1 key\(s\) at fault") as caught:
        import_backbone(path, "medclip", tmp_path / "out", {"size": SIZE})
    assert f"{name}: has shape {shape}, expected " in str(caught.value)


@pytest.mark.parametrize("tower", ["swin", "resnet"])
def test_missing_keys_are_all_told_even_those_that_say_a_size(tower: str, tmp_path: Path) -> None:
    image = {"swin": ("embeddings.patch_embeddings.projection.weight", "layernorm.bias"), "resnet": ("conv1.weight",)}
    gone = [f"vision_model.model.{name}" for name in image[tower]] + [
        "text_model.model.embeddings.word_embeddings.weight", "text_model.model.encoder.layer.1.output.dense.bias",
        "text_model.projection_head.weight",
    ]  # fmt: skip
    path = checkpoint(tmp_path / "in", tower, **{name.replace(".", "__"): None for name in gone})
    with pytest.raises(BackboneError) as caught:
        import_backbone(path, "medclip", tmp_path / "out", {"size": SIZE})
    assert [name for name in gone if f"missing: {name} (" not in str(caught.value)] == []


def test_towers_of_different_widths_share_no_space(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "in", text_model__projection_head__weight=torch.zeros(WIDTH + 1, 128))
    with pytest.raises(BackboneError, match="the image tower's is 12 wide and the text tower's is 13 wide"):
        import_backbone(path, "medclip", tmp_path / "out", {"size": SIZE})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("family", ["clip", "siglip", "biomedclip", "bert", "densenet121", "resnet50"])
def test_another_family_is_refused_and_writes_nothing(family: str, tmp_path: Path) -> None:
    with pytest.raises(BackboneError):
        import_backbone(checkpoint(tmp_path / "in"), family, tmp_path / "out")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in"]


def test_a_foreign_checkpoint_is_no_medclip(tmp_path: Path) -> None:
    torch.save({f"visual.{name}": tensor for name, tensor in medclip_files.resnet().items()}, tmp_path / "x.bin")
    with pytest.raises(BackboneError, match="neither a Swin, a ResNet nor a BERT"):
        import_backbone(tmp_path / "x.bin", "medclip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pooling": "max"}, "'max' is no pooling"),
        ({"length": "long"}, "length is 'long'"),
        ({"heads": 3}, "make no net"),
        ({"widht": 3}, "is not known"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, BackboneError), match=said):
        import_backbone(checkpoint(tmp_path / "in"), "medclip", tmp_path / "out", {"size": SIZE} | options)
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_lacks_or_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "in")
    words = (tmp_path / "in" / "vocab.txt").read_text()
    (tmp_path / "in" / "vocab.txt").write_text(words + "more\n")
    with pytest.raises(BackboneError, match=r"\d+ pieces and the text tower \d+ word vectors"):
        import_backbone(path, "medclip", tmp_path / "out", {"size": SIZE})
    (tmp_path / "in" / "vocab.txt").unlink()
    with pytest.raises(BackboneError, match="tokenizer"):
        import_backbone(path, "medclip", tmp_path / "out", {"size": SIZE})
    other = tmp_path / "other"
    other.mkdir()
    (other / "vocab.txt").write_text(words)
    import_backbone(path, "medclip", tmp_path / "out", {"size": SIZE}, tokenizer=other)


def test_an_import_replaces_a_backbone_and_nothing_else(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "in")
    with pytest.raises(BackboneError, match="is no backbone"):
        import_backbone(path, "medclip", tmp_path / "in", {"size": SIZE})
    first = import_backbone(path, "medclip", tmp_path / "out", {"size": SIZE})
    assert import_backbone(path, "medclip", tmp_path / "out", {"size": SIZE}).digest == first.digest


def test_a_backbone_of_our_own_has_no_original_names(tmp_path: Path) -> None:
    from small_backbones import saved_backbone

    with pytest.raises(BackboneError, match="was not imported"):
        export_backbone(saved_backbone(tmp_path / "own"), tmp_path / "x.bin")
