"""Pretrained encoders from local files: what a hub would give, made here, small and real."""

from pathlib import Path

import pytest
import torch
from conftest import ROOT, TINY
from safetensors.torch import save_file
from small_models import small_network
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import AutoModel, BertConfig, PreTrainedTokenizerFast, RobertaConfig

from clinimm.config import Config, load
from clinimm.data.cohort import read_cohort
from clinimm.errors import ConfigError
from clinimm.inference import Predictor
from clinimm.models.build import EncoderPlan
from clinimm.training.folds import split
from clinimm.training.run import train

WORDS = ("no", "cough", "fever", "breathless", "pillows", "digoxin", "man", "woman", "chest", "pain")


def bert_directory(folder: Path, config: BertConfig | RobertaConfig, pad: str, start: str, end: str) -> Path:
    """A model and its tokenizer, saved as transformers saves them."""
    names = [pad, "[UNK]" if pad == "[PAD]" else "<unk>", start, end, *WORDS]
    tokenizer = Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, unk_token=names[1]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, 2), (end, 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, unk_token=names[1], cls_token=start, sep_token=end
    ).save_pretrained(folder)
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


SMALL = {
    "vocab_size": 4 + len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 64,
}  # fmt: skip
KINDS = {
    "bert": (BertConfig(**SMALL), "[PAD]", "[CLS]", "[SEP]"),
    "roberta": (RobertaConfig(**SMALL, pad_token_id=0), "<pad>", "<s>", "</s>"),
}


def reading_from(folder: Path, *more: str) -> Config:
    """The tiny config with a note encoder from a local directory."""
    encoder = f"inputs.note.encoder={{name='transformer', pretrained='{folder}'}}"
    nets = "committee={folds=2, learner=false}"
    return load(ROOT / "configs" / "quickstart.toml", [*TINY, encoder, nets, "optim.epochs=1", *more])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_an_artifact_of_a_pretrained_note_encoder_needs_the_directory_no_more(
    kind: str, tmp_path: Path, tiny_cohort: Path
) -> None:
    source = bert_directory(tmp_path / "source", *KINDS[kind])
    config = reading_from(source)
    cases = read_cohort(config, tiny_cohort)
    trained = train(config, split(config, cases), tmp_path / "run")
    before = Predictor.load(trained.directory).predict(cases[:3])
    for path in source.iterdir():
        path.unlink()
    again = Predictor.load(trained.directory)
    assert again.predict(cases[:3]) == before
    encoder = again.network.networks[0].get_submodule("encoders.note")
    assert encoder.pad_id == 0  # type: ignore[comparison-overlap]
    assert {2, 3} <= set(encoder.special_ids)  # type: ignore[arg-type]


@pytest.mark.slow
def test_pretrained_weights_are_the_ones_that_train(tmp_path: Path, tiny_cohort: Path) -> None:
    source = bert_directory(tmp_path / "source", *KINDS["bert"])
    wanted = AutoModel.from_pretrained(source).get_input_embeddings().weight
    config = load(
        ROOT / "configs" / "quickstart.toml",
        [
            *TINY,
            f"inputs.note.encoder={{name='transformer', pretrained='{source}'}}",
            "committee={folds=2, learner=false}",
            "optim.epochs=1",
            "optim.lr=1e-9",
        ],
    )
    trained = train(config, split(config, read_cohort(config, tiny_cohort)), tmp_path / "run")
    encoder = Predictor.load(trained.directory).network.networks[0].get_submodule("encoders.note")
    torch.testing.assert_close(encoder.model.get_input_embeddings().weight, wanted, atol=1e-6, rtol=0)  # type: ignore[union-attr,operator]


def test_image_weights_come_from_safetensors_and_must_fit(tmp_path: Path) -> None:
    donor = small_network(seed=3).get_submodule("encoders.cxr.trunk")
    save_file(
        {name: weight.contiguous() for name, weight in donor.state_dict().items()}, tmp_path / "trunk.safetensors"
    )
    options = {"planes": [8, 8, 16, 16], "max_pool": False}
    plan = EncoderPlan("resnet10", pretrained=tmp_path / "trunk.safetensors", options=options)
    trunk = small_network(seed=4, cxr=plan).get_submodule("encoders.cxr.trunk")
    assert all(torch.equal(weight, trunk.state_dict()[name]) for name, weight in donor.state_dict().items())
    with pytest.raises(ConfigError, match="do not fit"):
        small_network(cxr=EncoderPlan("resnet18", pretrained=tmp_path / "trunk.safetensors", options=options))


def test_a_folder_without_a_model_is_refused_by_name(tmp_path: Path, tiny_cohort: Path) -> None:
    config = reading_from(tmp_path)
    with pytest.raises(ConfigError, match="holds no tokenizer"):
        train(config, split(config, read_cohort(config, tiny_cohort)), tmp_path / "run")
