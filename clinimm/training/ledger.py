"""A run as MLflow keeps it, for those who asked for it: settings, figures of each epoch, and what came out.

MLflow is an extra (`pip install "clinimm[mlflow]"`). Nothing of a patient goes there: settings, numbers and digests."""

import json
import logging
import math
import os
import re
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clinimm
from clinimm.config import Config
from clinimm.errors import ConfigError
from clinimm.evaluation.evaluate import Evaluation

log = logging.getLogger(__name__)

KEPT = "mlflow.json"  # in a run's folder: which of MLflow's runs it is
_PARAMS = 100  # that MLflow takes at once
_LONGEST = 500
_FINAL = ("auroc", "auprc", "brier", "ece", "sensitivity", "specificity")


class Ledger:
    """One of MLflow's runs, gone on with where this run was started before. What the server refuses later is logged and
    stops no training."""

    def __init__(self, client: Any, run_id: str, told: int) -> None:
        self.client, self.run_id, self.told = client, run_id, told

    @staticmethod
    def open(uri: str, config: Config, folder: Path, label: str) -> "Ledger":
        """The ledger of a run's folder. Raises ConfigError if MLflow is not installed or cannot be reached."""
        if urlsplit(uri).password:
            raise ConfigError(
                "holds a password, which would be kept in the artifact",
                where="run.mlflow",
                mend="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            )
        made = _installed()
        try:
            client = made(tracking_uri=uri)
            run_id = _known(client, folder, uri) or _begun(client, config, folder, uri, label)
            told = int(client.get_run(run_id).data.metrics.get("epoch", 0))
        except Exception as error:  # MLflow, SQLAlchemy and requests each have their own
            raise ConfigError(
                f"MLflow does not answer ({type(error).__name__})", where=f"run.mlflow = {uri}", mend="see if it runs"
            ) from error
        return Ledger(client, run_id, told)

    def epoch(self, figures: Mapping[str, float]) -> None:
        """Tells the figures of one epoch, once: a resumed run tells its earlier epochs again."""
        step = int(figures["epoch"])
        if step > self.told:
            self.told = step
            self._safely(lambda: self._metrics(figures, step))

    def finish(self, evaluation: Evaluation, digest: str) -> None:
        """Tells the test figures with all inputs, the AUROC of every subset, and the artifact's digest."""
        final = {
            f"test.{target.target}.{metric}": value
            for target in evaluation.targets
            for metric in _FINAL
            if (value := target.whole.estimates[metric].value) is not None
        }
        subsets = {
            f"test.{target.target}.auroc.{row.name.replace('+', '.')}": value
            for target in evaluation.targets
            for row in target.subsets
            if (value := row.estimates["auroc"].value) is not None
        }
        self._safely(lambda: self._metrics(final | subsets, 0))
        self._safely(lambda: self.client.set_tag(self.run_id, "clinimm.artifact", digest))
        self._safely(lambda: self.client.set_terminated(self.run_id, "FINISHED"))

    def _metrics(self, figures: Mapping[str, float], step: int) -> None:
        made, now = import_module("mlflow.entities").Metric, int(1000 * time.time())
        finite = {name: float(value) for name, value in figures.items() if math.isfinite(value)}
        self.client.log_batch(
            self.run_id, metrics=[made(_name(name), value, now, step) for name, value in finite.items()]
        )

    def _safely(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as error:
            log.warning("MLflow was not told", extra={"run": self.run_id, "error": type(error).__name__})


def opened_ledger(config: Config, folder: Path, label: str) -> Ledger | None:
    """The ledger of a run's folder, where the config asks for one. Raises ConfigError as `Ledger.open`."""
    return None if config.run.mlflow is None else Ledger.open(config.run.mlflow, config, folder, label)


def flattened(values: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Settings by their dotted names, as short texts."""
    found: dict[str, str] = {}
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            found |= flattened(value, f"{name}.")
        else:
            found[_name(name)] = (value if isinstance(value, str) else json.dumps(value))[:_LONGEST]
    return found


def _name(name: str) -> str:
    """The name in letters that MLflow takes."""
    return re.sub(r"[^\w\-. /]", "_", name)


def _known(client: Any, folder: Path, uri: str) -> str | None:
    """The run that was begun for this folder in this store."""
    try:
        kept = json.loads((folder / KEPT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if kept["uri"] != uri:
        return None
    client.update_run(kept["run"], "RUNNING")
    return str(kept["run"])


def _begun(client: Any, config: Config, folder: Path, uri: str, label: str) -> str:
    experiment = client.get_experiment_by_name(config.name)
    experiment_id = client.create_experiment(config.name) if experiment is None else experiment.experiment_id
    tags = {"clinimm.version": clinimm.__version__}
    run_id = str(client.create_run(experiment_id, run_name=f"{folder.name}: {label}", tags=tags).info.run_id)
    params = list(flattened(config.model_dump(mode="json")).items())
    for start in range(0, len(params), _PARAMS):
        _log_params(client, run_id, params[start : start + _PARAMS])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / KEPT).write_text(json.dumps({"uri": uri, "run": run_id}), encoding="utf-8")
    return run_id


def _log_params(client: Any, run_id: str, params: list[tuple[str, str]]) -> None:
    made = import_module("mlflow.entities").Param
    client.log_batch(run_id, params=[made(name, value) for name, value in params])


def _installed() -> Any:
    """MLflow's client. Raises ConfigError if it is not there."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it tells its makers of every start
    try:
        client = import_module("mlflow.tracking").MlflowClient
    except ImportError as error:
        raise ConfigError(
            "MLflow is not installed", where="run.mlflow", mend='pip install "clinimm[mlflow]", or leave it out'
        ) from error
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return client
