"""`clinimm backbone`: import, show, export, as a user types them."""

import json
from pathlib import Path

import torch
from medclip_files import SIZE, checkpoint, state_dict
from small_foreign import assert_same_tensors
from typer.testing import CliRunner, Result

from clinimm.backbone.foreign import read_checkpoint
from clinimm.cli import app
from clinimm.errors import BackboneError, ConfigError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["backbone", *map(str, arguments)])


def test_import_says_what_it_used_and_dropped_and_export_undoes_it(tmp_path: Path) -> None:
    path, out = checkpoint(tmp_path / "in"), tmp_path / "out"
    said = run("import", path, "--family", "medclip", "--out", out, "--option", f"size={SIZE}", "--verbose").output
    assert "keys used: 1 joint, 61 image, 54 text" in said
    assert "dropped, since positions are counted, not stored: text_model.model.embeddings.position_ids" in said
    assert "vision_model.projection_head.weight -> image: projection.0.weight" in said
    shown = run("show", out).output
    assert "swin" in shown
    assert "imported: pytorch_model.bin" in shown
    assert "patients seen in pretraining: unknown" in shown
    assert "position_ids" in run("show", out, "--verbose").output
    facts = json.loads(run("show", out, "--json").output)
    assert (facts["family"], facts["towers"], facts["space"]) == ("medclip", {"image": "swin", "text": "bert"}, 12)
    assert facts["provenance"]["options"] == {"size": SIZE}
    assert f"wrote {len(state_dict('swin'))} tensors" in run("export", out, "--out", tmp_path / "x.safetensors").output
    assert_same_tensors(read_checkpoint(tmp_path / "x.safetensors").tensors, state_dict("swin"))


def test_bad_input_is_an_error_and_no_directory(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "in", text_model__projection_head__weight=torch.zeros(3, 3))
    for arguments, kind in (
        (("--option", f"size={SIZE}"), BackboneError),
        (("--option", "size"), ConfigError),
        (("--option", "size=big"), ConfigError),
        (("--option", "colour=1"), ConfigError),
    ):
        found = run("import", path, "--family", "medclip", "--out", tmp_path / "out", *arguments)
        assert isinstance(found.exception, kind)
    assert not (tmp_path / "out").exists()
    assert isinstance(run("show", tmp_path / "in").exception, BackboneError)


def test_families_are_listed_with_what_they_take() -> None:
    said = run("families").output
    for word in ("medclip: MedCLIP's pytorch_model.bin", "    pooling: ", "bert: ", "biomedclip: "):
        assert word in said
    assert said.count("    pixels: ") == 1  # families alike in options share their lines
    assert said.index("resnet152: ") < said.index("    pixels: ")
    assert json.loads(run("families", "--json").output)["medclip"]["options"]["length"]
