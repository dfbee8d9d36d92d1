"""The seventeen sections of a record in the order in which an auditor reads them, and what of the record each holds."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Section:
    """`holds` are JSON pointers into the record; `*` stands for every key or place."""

    number: int
    name: str
    title: str
    holds: tuple[str, ...]


_TOLD = "/prediction"
_WHY = "/explanations/*"
_ORDER = (
    ("verdict", "Verdict", ("/schema", "/report_id", "/created", "/contents", "/case", f"{_TOLD}/case_id")),
    ("use", "Use and limits", ("/statements",)),
    ("answer", "Answer", (f"{_TOLD}/targets", f"{_TOLD}/abstained")),
    (
        "reliability",
        "Reliability of the explanation",
        tuple(
            f"{_WHY}/{key}"
            for key in ("target", "method", "baselines", "steps", "forward_passes", "smoothing", "trusted")
        ),
    ),
    (
        "inputs",
        "Inputs, and what is missing",
        (*(f"{_TOLD}/{key}" for key in ("inputs", "used", "missing", "rejected", "next_inputs")), "/inputs/*"),
    ),
    ("quality", "Flags, quality and guards", (f"{_TOLD}/flags", f"{_TOLD}/conflict", f"{_TOLD}/inputs/*")),
    (
        "weights",
        "Weight of each input",
        (
            f"{_TOLD}/weights",
            *(f"{_WHY}/{key}" for key in ("shapley", "interactions", "net", "gross", "prior_logit", "baseline_logit")),
        ),
    ),
    ("subsets", "Answers from fewer inputs", (f"{_WHY}/subsets", f"{_WHY}/logit")),
    ("films", "Films and volumes", ("/inputs/*/views", f"{_WHY}/maps/*")),
    ("notes", "Notes", ("/inputs/*/text", f"{_WHY}/maps/*")),
    ("labs", "Laboratory values", ("/inputs/*/analytes", f"{_WHY}/maps/*")),
    ("checks", "Checks of the explanation", (_WHY,)),
    ("calibration", "Calibration, sets and abstention", ("/calibration",)),
    ("performance", "Performance for patients like this one", ("/performance",)),
    ("comparison", "Comparison with the previous answer", ("/comparison",)),
    ("model", "Model, code and settings", ("/model", "/generator", "/settings", f"{_TOLD}/artifact")),
    ("replay", "Replay and verification", ("/inputs/*/sha256", "/tensors")),
)
SECTIONS = tuple(Section(number, *one) for number, one in enumerate(_ORDER, start=1))


def contents() -> list[dict[str, Any]]:
    """The sections as plain JSON types."""
    return [asdict(section) | {"holds": list(section.holds)} for section in SECTIONS]
