"""This answer beside the one before it: what moved, and what had become of the inputs then."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clinimm.report.canonical import Json


@dataclass(frozen=True)
class Previous:
    """The answer that this one takes the place of: its name, when it was given, and its prediction's record. `cause` is
    why there is another."""

    name: str
    created: datetime
    cause: str
    prediction: Mapping[str, Any]


def compare(previous: Previous | None, now: Mapping[str, Any]) -> Json | None:
    """What became of each target and each input since, of those that both have; None where nothing came before."""
    if previous is None:
        return None
    old = previous.prediction
    before = {target["target"]: target for target in old["targets"]}
    pairs = [(before[target["target"]], target) for target in now["targets"] if target["target"] in before]
    inputs = {name: (old["inputs"].get(name), state) for name, state in now["inputs"].items()}
    return {
        "name": previous.name,
        "created": previous.created.isoformat(timespec="seconds"),
        "cause": previous.cause,
        "model_changed": old["artifact"] != now["artifact"],
        "targets": {then["target"]: _target(then, after) for then, after in pairs},
        "inputs": {
            name: {"before": then["status"], "after": state["status"]}
            for name, (then, state) in inputs.items()
            if then is not None and then["status"] != state["status"]
        },
    }


def _target(then: Json, after: Json) -> Json:
    p, q = then["probability"], after["probability"]
    return {
        "before": p,
        "after": q,
        "delta": None if p is None or q is None else round(q - p, 6),
        "crossed": then["decision"] != after["decision"],
    }
