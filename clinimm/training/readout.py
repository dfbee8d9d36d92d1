"""How the lines of a net's readout are fitted: logistic regressions on its held-out cases.

n cases, e width, k targets."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from clinimm.batch import Batch
from clinimm.evaluation.embeddings import embed
from clinimm.inference import score_subsets
from clinimm.models.network import Network
from clinimm.models.readout import Readout
from clinimm.scores import Scores

FOLDS = 5
STRENGTH = 0.05  # of the lines, whose columns are standardized: fitted on some tens of patients, they are held tight


def readout_said(
    network: Network, held: Batch, patients: Sequence[str], targets: Sequence[str], seed: int
) -> Scores | None:
    """What the readout alone says of the cases held out from a net, each part of the patients by lines fitted on the
    others; None where all cases are of one patient. The net is left as it was."""
    parts = min(FOLDS, len(set(patients)))
    if parts < 2:
        return None
    before, told, order = network.readout, list[Scores](), list[int]()
    folds = GroupKFold(parts, shuffle=True, random_state=seed)
    for known, asked in folds.split(np.zeros(len(held)), groups=np.asarray(patients)):
        network.readout = fit_readout(network, held.rows(torch.from_numpy(known)))
        rows = held.rows(torch.from_numpy(asked))
        told.append(score_subsets(network, rows, [patients[i] for i in asked], targets))
        order += asked.tolist()
    network.readout = before
    return _in_order(Scores.concat(told), np.argsort(order))


@torch.no_grad()
def fit_readout(network: Network, held: Batch, share: Float[Tensor, " k"] | None = None) -> Readout:
    """The lines of all inputs, fitted on the held-out cases that have them, and a share of the answer: by default all.
    Where an input's cases are all of one class, its line is the prior's: it says nothing."""
    readout = Readout(network.width, len(network.modalities), len(network.prior))
    known, labels = held.target_mask.cpu().numpy(), held.targets.cpu().numpy() > 0.5
    prior = network.prior.cpu()
    for layer, summaries in zip(readout.lines.maps, embed(network, held).values(), strict=True):
        line, there = cast(nn.Linear, layer), ~np.isnan(summaries).any(axis=1)
        for j in range(len(prior)):
            rows = there & known[:, j]
            weight, bias = _line(summaries[rows], labels[rows, j], float(prior[j]))
            line.weight[j], line.bias[j] = torch.from_numpy(weight), bias
    if share is not None:
        readout.share.copy_(share)
    return readout.to(network.prior.device)


def _line(
    summaries: Float[np.ndarray, "n e"], labels: Bool[np.ndarray, " n"], prior: float
) -> tuple[Float[np.ndarray, " e"], float]:
    """Weights and offset of a logistic regression on standardized columns, for columns as they are."""
    if len(np.unique(labels)) < 2:
        return np.zeros(summaries.shape[1]), prior
    scaler, line = StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000)
    make_pipeline(scaler, line).fit(summaries, labels)
    weight = line.coef_[0] / scaler.scale_
    return weight, float(line.intercept_[0] - weight @ scaler.mean_)


def _in_order(scores: Scores, places: np.ndarray) -> Scores:
    return replace(
        scores,
        case_ids=tuple(scores.case_ids[i] for i in places), patient_ids=tuple(scores.patient_ids[i] for i in places),
        targets=scores.targets[places], present=scores.present[places],
        logits={name: logits[places] for name, logits in scores.logits.items()},
    )  # fmt: skip
