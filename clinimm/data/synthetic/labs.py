"""Laboratory panels: plausible adult values, signs of each target, and abnormal values that mean nothing for it."""

from collections.abc import Mapping

import numpy as np

UNITS = {
    "crp": "mg/L",
    "wbc": "10*9/L",
    "neutrophils": "10*9/L",
    "lymphocytes": "10*9/L",
    "hemoglobin": "g/L",
    "creatinine": "umol/L",
    "potassium": "mmol/L",
    "nt_probnp": "ng/L",
    "ldh": "U/L",
    "d_dimer": "mg/L",
}
SIGNS = {
    "pneumonia": ("crp", "wbc", "neutrophils"),
    "heart_failure": ("nt_probnp",),
    "arrhythmia": ("potassium",),
}
"""The analytes that show each target's sign."""

USUAL = {
    "crp": (4.0, 0.7),
    "wbc": (7.0, 0.2),
    "lymphocytes": (1.8, 0.25),
    "hemoglobin": (140.0, 0.07),
    "creatinine": (75.0, 0.16),
    "potassium": (3.4, 0.06),
    "nt_probnp": (120.0, 0.6),
    "ldh": (185.0, 0.15),
    "d_dimer": (0.35, 0.45),
}
"""Median and standard deviation of the logarithm where no sign is on."""

RAISED = {
    "pneumonia": {"crp": (130.0, 0.35), "wbc": (15.0, 0.18), "lymphocytes": (1.2, 0.25)},
    "heart_failure": {"nt_probnp": (3200.0, 0.4)},
    "arrhythmia": {"potassium": (5.5, 0.045)},
}
DISTRACTORS = (
    (0.15, {"hemoglobin": 0.72}),
    (0.12, {"creatinine": 2.2, "nt_probnp": 2.0}),
    (0.15, {"d_dimer": 4.0}),
    (0.10, {"ldh": 1.9}),
    (0.12, {"crp": 5.0}),
    (0.08, {"wbc": 1.4}),
)
"""Chance and factors of each state that is abnormal for a reason of its own: anemia, kidney disease and so on."""

NOT_ALWAYS_ORDERED = {"ldh": 0.25, "d_dimer": 0.35}
NEUTROPHIL_SHARE = {False: (0.60, 0.05), True: (0.83, 0.03)}
MEN = {"hemoglobin": 1.06, "creatinine": 1.12}
LOWEST, HIGHEST = {"hemoglobin": 70.0}, {"crp": 400.0, "nt_probnp": 30000.0}


def draw_panel(rng: np.random.Generator, sex: str, shown: frozenset[str]) -> dict[str, float | None]:
    """One value per analyte of `UNITS`, in its unit; None where it was not ordered. `shown` are the targets whose sign
    is on."""
    usual = dict(USUAL)
    for target in sorted(shown):
        usual.update(RAISED[target])
    panel = {name: float(median * np.exp(sigma * rng.standard_normal())) for name, (median, sigma) in usual.items()}
    mean, spread = NEUTROPHIL_SHARE["pneumonia" in shown]
    _scale(panel, MEN if sex == "M" else {})
    for chance, factors in DISTRACTORS:
        _scale(panel, factors if rng.random() < chance else {})
    panel["neutrophils"] = panel["wbc"] * float(np.clip(mean + spread * rng.standard_normal(), 0.4, 0.92))
    ordered = {name: rng.random() >= NOT_ALWAYS_ORDERED.get(name, 0.0) for name in UNITS}
    return {name: _reported(name, panel[name]) if ordered[name] else None for name in UNITS}


def _scale(panel: dict[str, float], factors: Mapping[str, float]) -> None:
    for name, factor in factors.items():
        panel[name] *= factor


def _reported(name: str, value: float) -> float:
    """As a laboratory prints it: three significant digits, within what occurs."""
    value = min(max(value, LOWEST.get(name, 0.0)), HIGHEST.get(name, float("inf")))
    return float(f"{value:.3g}")
