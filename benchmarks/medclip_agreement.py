"""How far an imported MedCLIP is from the original: embeddings, logits, losses, gradients, names, pictures.

    python benchmarks/medclip_agreement.py --data DIR [--json OUT]

DIR holds inputs and outputs of the original code for a small random configuration. Ours goes the whole way: the state
dict is written as a checkpoint, imported, read from the backbone directory, run, and exported again. Each line is the
largest absolute difference; the exit code is 1 if one is over the tolerance."""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy, linear, normalize

from clinimm.backbone.directory import Backbone, load
from clinimm.backbone.encode import tokenize
from clinimm.backbone.families.medclip import MEAN, STD, plan
from clinimm.backbone.foreign import Checkpoint, read_checkpoint
from clinimm.backbone.keys import convert
from clinimm.backbone.original_pictures import medclip_pixels
from clinimm.backbone.transfer import export_backbone, import_backbone
from clinimm.models.towers.build import build_tower
from clinimm.pretraining.contrastive import clamp_log_scale, info_nce, semantic_matching

TOLERANCE = 1e-5
UNIT = 512  # weights are stored as int16 in units of 1 / UNIT
Arrays = dict[str, np.ndarray]
Line = tuple[str, float]


def arrays(path: Path) -> Arrays:
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


def state_dict(path: Path) -> dict[str, Tensor]:
    return {
        name.removeprefix("raw:"): torch.from_numpy(array if name.startswith("raw:") else np.float32(array) / UNIT)
        for name, array in arrays(path).items()
    }


def difference(ours: Any, theirs: np.ndarray) -> float:
    ours = np.asarray(ours.detach() if isinstance(ours, Tensor) else ours, dtype=np.float64)
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours - theirs).max(initial=0))


def imported(data: Path, tower: str, folder: Path) -> Iterator[tuple[str, float | Backbone]]:
    """The whole way in, with the original's pooling; then out again."""
    config = json.loads((data / "config.json").read_text())
    weights, checkpoint, out = state_dict(data / f"{tower}_weights.npz"), folder / f"{tower}.bin", folder / tower
    torch.save(weights, checkpoint)
    options = {"pooling": "layers_with_padding", "heads": config["bert_config"]["num_attention_heads"]}
    import_backbone(checkpoint, "medclip", out, options, tokenizer=data)
    yield "backbone", load(out)
    export_backbone(out, folder / "again.bin")
    again = read_checkpoint(folder / "again.bin").tensors
    alike = [again[name].dtype == tensor.dtype and again[name].equal(tensor) for name, tensor in weights.items()]
    yield "import, export: tensors that differ", float(len(weights.keys() ^ again.keys()) + alike.count(False))


def texts(backbone: Backbone, inputs: Arrays, prefix: str = "") -> Tensor:
    ids = torch.from_numpy(inputs[f"{prefix}input_ids"])
    return backbone.text(ids, torch.from_numpy(inputs[f"{prefix}attention_mask"]).bool())


def forward(backbone: Backbone, inputs: Arrays, theirs: Arrays) -> Iterator[Line]:
    image = backbone.image.read(torch.from_numpy(inputs["pixel_values"]) * STD + MEAN, None)
    vision, text = backbone.image.project(image.pooled), texts(backbone, inputs)
    bare = image.pooled if backbone.image.architecture["name"] == "swin" else vision  # MedCLIP's ResNet always projects
    images, embedded = normalize(vision, dim=1), normalize(text, dim=1)
    log_scale = torch.nn.Parameter(torch.tensor(backbone.scale))
    logits = log_scale.exp() * images @ embedded.T
    everyone, nobody = torch.ones(len(logits), dtype=torch.bool), torch.zeros_like(logits, dtype=torch.bool)
    ours: dict[str, Any] = {
        "vision_raw": vision, "text_raw": text, "img_embeds": images, "text_embeds": embedded, "logits": logits,
        "logits_per_text": logits.T, "vision_noproj": bare, "clip_loss": info_nce(logits, everyone, nobody),
        "logit_scale": log_scale, "logits_scale10": torch.tensor(4.6052).exp() * images @ embedded.T,
    }  # fmt: skip
    for ensemble, reduce in ((True, lambda x: x.mean(1)), (False, lambda x: x.amax(1))):
        classes = dict.fromkeys(name.split("/")[1] for name in inputs if name.startswith("prompt/"))
        prompts = [normalize(texts(backbone, inputs, f"prompt/{name}/"), dim=1) for name in classes]
        scores = [reduce(log_scale.exp() * images @ prompt.T) for prompt in prompts]
        ours[f"promptclf_ensemble{ensemble}"] = torch.stack(scores, dim=1)
    if "sup_fc/weight" in theirs:
        weight, bias = (torch.from_numpy(theirs[f"sup_fc/{part}"]) for part in ("weight", "bias"))
        ours["sup_logits"] = linear(ours["vision_noproj"], weight, bias)
        ours["sup_loss"] = cross_entropy(ours["sup_logits"], torch.from_numpy(theirs["sup_labels"]))
    for bound, start in (("hi", 10.0), ("lo", -5.0)):
        clamped = torch.nn.Parameter(torch.tensor(start))
        clamp_log_scale(clamped)
        ours[f"scale_after_clamp_{bound}"] = clamped
    yield from ((name, difference(ours[name], theirs[name])) for name in ours if name in theirs)


def losses(backbone: Backbone, inputs: Arrays, theirs: Arrays) -> Iterator[Line]:
    """The three losses of training, and their gradients."""
    labels = [torch.from_numpy(inputs[f"{kind}_labels"]) for kind in ("img", "text")]
    for name in ("hard", "soft", "soft_aug"):
        log_scale = torch.nn.Parameter(torch.tensor(backbone.scale))
        backbone.image.zero_grad()
        backbone.text.zero_grad()
        images = normalize(backbone.image(torch.from_numpy(inputs["pixel_values"]) * STD + MEAN), dim=1)
        known = torch.ones(len(images), dtype=torch.bool)
        found = []
        for prefix in ("", "aug_") if name == "soft_aug" else ("",):
            logits = log_scale.exp() * images @ normalize(texts(backbone, inputs, prefix), dim=1).T
            if name == "hard":
                found.append(info_nce(logits, known, torch.zeros_like(logits, dtype=torch.bool)))
            else:
                found.append(semantic_matching(logits, *labels, known, known)[0])
        loss = torch.stack(found).mean()
        loss.backward()
        yield f"loss_{name}", difference(loss, theirs[f"loss_{name}"])
        for key in (key for key in theirs if key.startswith(f"grads_{name}/")):
            how = backbone.provenance["keys"][key.partition("/")[2]]
            own = log_scale if how["tower"] == "joint" else backbone.towers[how["tower"]].get_parameter(*how["names"])
            yield key, difference(own.grad, theirs[key])


def plain_losses(theirs: Arrays) -> Iterator[Line]:
    """The losses on logits alone."""
    logits, alike = torch.from_numpy(theirs["logits"]), torch.from_numpy(theirs["label_sim"])
    known = torch.ones(len(logits), dtype=torch.bool)
    soft, _ = semantic_matching(logits, alike, torch.eye(len(logits), dtype=alike.dtype), known, known)
    yield "loss.npz: soft_loss", difference(soft, theirs["soft_loss"])
    yield "loss.npz: clip", difference(info_nce(logits, known, logits.isnan()), theirs["clip"])


def names(shapes: dict[str, list[int]]) -> Iterator[Line]:
    """Every name and shape of a layout leads to a weight of ours or a reason, and back."""
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    checkpoint = Checkpoint(Path("state_dict_keys.json"), tensors, {}, None, "")
    planned = plan(checkpoint, {})
    expected = {kind: build_tower(architecture).state_dict() for kind, architecture in planned.towers.items()}
    found = convert(tensors, planned.rules, {**expected, "joint": {"logit_scale": torch.zeros(())}})
    yield "names neither used nor dropped", float(len(tensors.keys() - found.used.keys() - found.left.keys()))


def notes_and_pictures(data: Path, backbone: Backbone, inputs: Arrays) -> Iterator[Line]:
    """What happens before the nets."""
    pieces = tokenize(backbone.tokenizer, json.loads((data / "config.json").read_text())["notes"], backbone.text.length)
    yield "notes to word pieces", difference(pieces.ids, inputs["input_ids"])
    pictures = arrays(data / "preprocess.npz")
    for name in sorted(
        key.removesuffix("_uint8") for key in pictures if key.endswith("_uint8") and "padded" not in key
    ):
        for made, resampling in (("processor", "bicubic"), ("eval_transform", "bilinear")):
            if f"{name}_{made}" in pictures:
                theirs = pictures[f"{name}_{made}"].reshape(1, 1, 224, 224)
                ours = (medclip_pixels(pictures[f"{name}_uint8"], resampling=resampling) - MEAN) / STD
                yield f"{name}_{made}", difference(ours, theirs)


def compare(data: Path) -> Iterator[Line]:
    inputs = arrays(data / "inputs.npz")
    for tower in ("swin", "resnet"):
        if not (data / f"{tower}_weights.npz").is_file():
            continue
        theirs = arrays(data / f"{tower}_outputs.npz")
        with tempfile.TemporaryDirectory() as folder:
            for name, found in imported(data, tower, Path(folder)):
                if not isinstance(found, Backbone):
                    yield f"{tower}: {name}", found
                    continue
                for part in (forward, losses):
                    yield from ((f"{tower}: {name}", gap) for name, gap in part(found, inputs, theirs))
                yield from notes_and_pictures(data, found, inputs)
    for layout, shapes in json.loads((data / "state_dict_keys.json").read_text()).items():
        yield from ((f"{layout}: {name} ({len(shapes)} in all)", gap) for name, gap in names(shapes))
    yield from plain_losses(arrays(data / "loss.npz"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the original's arrays")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = dict(compare(arguments.data))
    table = Table(
        "what", "largest difference", f"within {TOLERANCE:g}", title="clinimm's import against MedCLIP itself"
    )
    for name, gap in found.items():
        table.add_row(name, f"{gap:.1e}" if gap else "0", "yes" if gap <= TOLERANCE else "NO")
    Console(width=110).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"tolerance": TOLERANCE, "differences": found}, indent=1))
    sys.exit(not all(gap <= TOLERANCE for gap in found.values()))


if __name__ == "__main__":
    main()
