"""What the probes found: numbers with their patient-bootstrap intervals, each in a sentence.

n cases, r resamples."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from clinimm import metrics
from clinimm.bootstrap import Estimate, Statistic, Values, Weights, patient_bootstrap
from clinimm.evaluation.probes.ask import Probed
from clinimm.evaluation.probes.changes import (
    ALONE,
    BORDER,
    CENTER,
    COVERED,
    HALF,
    HIDDEN,
    REVEALED,
    SWAPPED,
    Change,
)
from clinimm.evaluation.probes.shortcuts import GAPS, SIZES
from clinimm.evaluation.probes.within import pairs_within, sites_of

AUROC, CHANGE, MOVED, FOLLOWS = "AUROC", "AUROC change", "mean |logit change|", "correlation"

_SEES = {GAPS: "which inputs and analytes are missing", "border": "the border of the picture", SIZES: "its stored size"}
_KEPT = {COVERED: "its border covered", CENTER: "all but its center covered", BORDER: "all but its border covered"}


@dataclass(frozen=True)
class Finding:
    """One number: which probe, of what, how it is measured, on how many cases, and what it says in words."""

    probe: str
    name: str
    measure: str
    cases: int
    value: Estimate
    says: str

    def record(self) -> dict[str, Any]:
        about = {"probe": self.probe, "name": self.name, "measure": self.measure, "cases": self.cases}
        return {**about, "estimate": self.value.record(), "says": self.says}


@dataclass(frozen=True)
class Findings:
    """All that the probes found about the answers to one target."""

    target: str
    all: tuple[Finding, ...]

    def of(self, probe: str) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.all if finding.probe == probe)

    def record(self) -> dict[str, Any]:
        return {"target": self.target, "findings": [finding.record() for finding in self.all]}


def findings(probed: Probed, *, bootstrap: int = 1000, seed: int = 0) -> tuple[Findings, ...]:
    """What the probes found, for each target."""
    return tuple(
        Findings(name, tuple(_Target.of(probed, j, bootstrap, seed).all()))
        for j, name in enumerate(probed.target_names)
    )


@dataclass(frozen=True)
class _Target:
    """One target's columns of what was probed, on the cases with a label and an answer."""

    labels: Bool[np.ndarray, " n"]
    patients: np.ndarray
    sites: np.ndarray
    base: Float[np.ndarray, " n"]
    shortcuts: dict[tuple[str, str], Float[np.ndarray, " n"]]
    changed: dict[Change, Float[np.ndarray, " n"]]
    gaps: dict[str, Float[np.ndarray, " n"]]
    bootstrap: int
    seed: int

    @staticmethod
    def of(probed: Probed, j: int, bootstrap: int, seed: int) -> "_Target":
        rows = ~np.isnan(probed.targets[:, j]) & ~np.isnan(probed.base[:, j])
        return _Target(
            labels=probed.targets[rows, j] > 0.5,
            patients=np.asarray(probed.patient_ids, dtype=object)[rows],
            sites=np.asarray(probed.sites, dtype=object)[rows],
            base=probed.base[rows, j],
            shortcuts={key: said[rows, j] for key, said in probed.shortcuts.items()},
            changed={key: said[rows, j] for key, said in probed.changed.items()},
            gaps={key: said[rows, j] for key, said in probed.gaps.items()},
            bootstrap=bootstrap,
            seed=seed,
        )

    def all(self) -> list[Finding]:
        alone = [self._shortcut(sort, name, said) for (sort, name), said in self.shortcuts.items()]
        return [*alone, *self._within_sites(), *self._pictures(), *self._tables()]

    def _shortcut(self, sort: str, name: str, said: Float[np.ndarray, " n"]) -> Finding:
        rows = ~np.isnan(said)
        value = self._estimate(partial(metrics.weighted_auroc, self.labels[rows], said[rows]), rows)
        what = _SEES.get(sort, "the site")
        return Finding(f"{sort} alone", name, AUROC, int(rows.sum()), value, _leak(what, value, int(rows.sum())))

    def _within_sites(self) -> list[Finding]:
        found = []
        for site in sites_of(self.sites, self.labels):
            rows = self.sites == site
            value = self._estimate(partial(metrics.weighted_auroc, self.labels[rows], self.base[rows]), rows)
            says = f"The model reaches {_number(value)} within {site}."
            found.append(Finding("within a site", str(site), AUROC, int(rows.sum()), value, says))
        if len(found) > 1 or (found and found[0].cases < len(self.labels)):
            rows = self.sites != ""
            value = self._estimate(pairs_within(self.labels[rows], self.base[rows], self.sites[rows]), rows)
            every = self._estimate(partial(metrics.weighted_auroc, self.labels[rows], self.base[rows]), rows)
            says = f"Of pairs within one site the model orders {_number(value)} right; of all pairs {_number(every)}."
            found.insert(0, Finding("within a site", "pairs within any", AUROC, int(rows.sum()), value, says))
        return found

    def _pictures(self) -> list[Finding]:
        found = []
        for change, said in self.changed.items():
            if change.kind not in _KEPT:
                continue
            alone = self.changed[Change(ALONE, change.input)]
            rows = ~np.isnan(said) & ~np.isnan(alone)
            before, after = (partial(metrics.weighted_auroc, self.labels[rows], one[rows]) for one in (alone, said))
            whole, value = self._estimate(before, rows), self._estimate(after, rows)
            drop = self._estimate(_minus(after, before), rows)
            says = f"From {change.input} alone the model reaches {_number(whole)}; with {_KEPT[change.kind]} "
            says += f"{_number(value)}, {_survives(whole, value)} of what it has above chance."
            count = int(rows.sum())
            found += [
                Finding("picture cut", f"{change.input}, {change.kind}", AUROC, count, value, says),
                Finding("picture cut", f"{change.input}, {change.kind}", CHANGE, count, drop, ""),
            ]
        return found

    def _tables(self) -> list[Finding]:
        found: list[Finding] = []
        for change, said in self.changed.items():
            name = f"{change.input}, {change.kind}" + (f" ({change.analyte})" if change.analyte else "")
            if change.kind in (HALF, REVEALED, SWAPPED):
                found += self._flipped(name, change, said)
            if change.kind == HIDDEN:
                found += self._flipped(name, change, said)[:1]
            if change.kind == SWAPPED:
                found.append(self._follows(change.input, said))
        return found

    def _flipped(self, name: str, change: Change, said: Float[np.ndarray, " n"]) -> list[Finding]:
        """How far the logits of changed cases move, and what that does to the AUROC of all."""
        rows = ~np.isnan(said)
        moved = self._estimate(_mean_of(np.abs(said - self.base)[rows]), rows)
        mixed = np.where(rows, said, self.base)
        everyone = np.ones(len(rows), dtype=bool)
        after, before = (partial(metrics.weighted_auroc, self.labels, one) for one in (mixed, self.base))
        drop = self._estimate(_minus(after, before), everyone)
        says = (
            f"{_MADE[change.kind].format(change.input, change.analyte)} moves the logit by {_number(moved)} on average"
        )
        ends = f"{says}." if change.kind == HIDDEN else f"{says}, the AUROC by {_number(drop, signed=True)}."
        return [
            Finding("mask flip", name, MOVED, int(rows.sum()), moved, ends),
            Finding("mask flip", name, CHANGE, len(rows), drop, ""),
        ]

    def _follows(self, table: str, said: Float[np.ndarray, " n"]) -> Finding:
        """Whether the logit moves with what the gaps alone would say, among cases of one label."""
        rows = ~np.isnan(said)
        model, gaps = (said - self.base)[rows], (self.gaps[table] - self.gaps[""])[rows]
        value = self._estimate(_correlation_given(self.labels[rows], model, gaps), rows)
        says = f"Given another case's gaps in {table}, the model's logit moves with what the gaps alone say: "
        says += f"correlation {_number(value, signed=True)} within a label, 0 for a model that reads values alone."
        if value.low is not None and value.low > 0:
            says += f' With inputs.{table}.encoder.name = "completed" its nets would not see them.'
        return Finding("gaps followed", table, FOLLOWS, int(rows.sum()), value, says)

    def _estimate(self, statistic: Statistic, rows: Bool[np.ndarray, " n"]) -> Estimate:
        ids = [str(patient) for patient in self.patients[rows]]
        if not ids:
            return Estimate(None, None, None, self.bootstrap, 0)
        return patient_bootstrap({"": statistic}, ids, resamples=self.bootstrap, seed=self.seed)[""]


_MADE = {
    HIDDEN: "Hiding {1} in {0}",
    HALF: "Hiding half of what is known in {0}",
    REVEALED: "Closing every gap in {0} at the training median, the same for everyone,",
    SWAPPED: "Giving {0} the gaps of another case as well",
}


def _minus(first: Statistic, second: Statistic) -> Statistic:
    return lambda weights: first(weights) - second(weights)


def _mean_of(values: Float[np.ndarray, " n"]) -> Statistic:
    def mean(weights: Weights) -> Values:
        total = weights.sum(axis=1)
        return np.divide(weights @ values, total, out=np.full(len(weights), np.nan), where=total > 0)

    return mean


def _correlation_given(
    labels: Bool[np.ndarray, " n"], x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]
) -> Callable[[Weights], Values]:
    """Pearson's correlation of x and y among the yes and among the no, the two averaged.

    Losing a value that spoke for the label lowers the logit of a yes and raises that of a no, whatever the gaps say:
    over both labels alike, that cancels, and what follows the gaps stays."""

    def correlation(weights: Weights) -> Values:
        found = []
        for label in (False, True):
            w, a, b = weights[:, labels == label], x[labels == label], y[labels == label]
            mass = np.maximum(w.sum(axis=1), 1e-12)
            first, second = (w @ a) / mass, (w @ b) / mass
            spreads = (w @ a**2 / mass - first**2) * (w @ b**2 / mass - second**2)
            scale = np.sqrt(np.maximum(spreads, 0))
            shared = w @ (a * b) / mass - first * second
            found.append(np.divide(shared, scale, out=np.full(len(weights), np.nan), where=scale > 1e-9))
        return np.mean(found, axis=0)

    return correlation


def _leak(what: str, value: Estimate, cases: int) -> str:
    if value.value is None:
        return f"Too few cases to say what {what} tells."
    if value.low is not None and value.low > 0.5:
        return f"From {what} alone {_number(value)} is reached on {cases} cases: a shortcut is there to be taken."
    return f"From {what} alone {_number(value)} is reached on {cases} cases: no clear shortcut."


def _survives(whole: Estimate, value: Estimate) -> str:
    if whole.value is None or value.value is None or whole.value <= 0.5:
        return "an unknown share"
    return f"{100 * (value.value - 0.5) / (whole.value - 0.5):.0f} %"


def _number(value: Estimate, *, signed: bool = False) -> str:
    if value.value is None:
        return "an unknown amount"
    sign = "+" if signed else ""
    if value.low is None or value.high is None:
        return f"{value.value:{sign}.3f}"
    return f"{value.value:{sign}.3f} [{value.low:{sign}.3f}, {value.high:{sign}.3f}]"
