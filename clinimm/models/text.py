"""Notes to tokens: any BERT-like model of transformers, from a local directory or small and new."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, BertConfig, PreTrainedModel

from clinimm.batch import Tokens
from clinimm.errors import ConfigError
from clinimm.models.encoder import Encoder


class NoteTransformer(Encoder):
    """A transformer over word pieces, one token a piece. `embed` looks word vectors up; `forward` runs the rest, so
    that the word vectors can carry gradients."""

    def __init__(self, model: PreTrainedModel, width: int, dropout: float) -> None:
        super().__init__()
        self.model = model
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(model.config.hidden_size, width))

    @property
    def architecture(self) -> dict[str, Any]:
        """What is needed to build the same net again with no weights: transformers' own config."""
        return self.model.config.to_dict()

    def embed(self, values: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        return self.model.get_input_embeddings()(values.long())

    def forward(self, embedded: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None) -> Tokens:
        if mask is None:
            mask = torch.ones(embedded.shape[:2], dtype=torch.bool, device=embedded.device)
        hidden = self.model(inputs_embeds=embedded, attention_mask=mask.long()).last_hidden_state
        return Tokens(self.project(hidden), mask)


def small_bert(
    vocabulary: int, length: int, *, hidden: int = 64, layers: int = 2, heads: int = 4, dropout: float = 0.1
) -> dict[str, Any]:
    """The architecture of a BERT small enough to learn from a cohort alone."""
    return BertConfig(
        vocab_size=vocabulary, max_position_embeddings=max(length, 64), hidden_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, intermediate_size=2 * hidden, hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    ).to_dict()  # fmt: skip


def build_note_encoder(
    architecture: Mapping[str, Any], width: int, dropout: float, pretrained: Path | None = None
) -> NoteTransformer:
    """A note encoder of this architecture with new weights, or with those in the local directory `pretrained`.
    Raises ConfigError if the directory does not hold a model."""
    if pretrained is None:
        model = AutoModel.from_config(AutoConfig.for_model(**architecture))
        return NoteTransformer(model, width, dropout)
    try:
        model = AutoModel.from_pretrained(pretrained, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ConfigError(
            "is not a local transformers model with safetensors weights",
            where=str(pretrained),
            mend="give a directory with config.json and model.safetensors",
        ) from error
    return NoteTransformer(model, width, dropout)


def architecture_of(pretrained: Path) -> dict[str, Any]:
    """The architecture in a local transformers directory. Raises ConfigError if there is none."""
    try:
        return AutoConfig.from_pretrained(pretrained, local_files_only=True).to_dict()
    except (OSError, ValueError) as error:
        raise ConfigError("holds no transformers config.json", where=str(pretrained)) from error
