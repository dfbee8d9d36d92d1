"""A real, small predictor over a synthetic cohort, and records made with it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from clinimm.artifact import network_for
from clinimm.calibration import Calibrator
from clinimm.config import load
from clinimm.data.cohort import read_cohort
from clinimm.data.doors import fit_preparer
from clinimm.data.prepare import prepare_all
from clinimm.data.synthetic.cohort import write_cohort
from clinimm.decision import Uncertainty
from clinimm.guard.gate import fit_guards
from clinimm.inference import Predictor, score_subsets
from clinimm.io.sandbox import Sandbox
from clinimm.models.committee import Committee
from clinimm.report.record import build

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
SMALL = {
    "quickstart": ['inputs.cxr.encoder={ name = "eigen" }', "inputs.cxr.size=[48, 40]"],
    "quickstart_ct": ['inputs.ct.encoder={ name = "eigen" }', "inputs.ct.size=[24, 20, 12]"],
}


def make_predictor(folder: Path, name: str, image: str) -> tuple[Predictor, list]:
    """A predictor whose shallow encoders are fitted on the cohort; its heads are drawn, not trained."""
    write_cohort(folder, n=24, seed=5, image=image, rate=0.1)
    overrides = [*SMALL[name], 'inputs.note.encoder={ name = "bag" }', "inputs.note.length=24"]
    config = load(Path(__file__).parents[2] / "configs" / f"{name}.toml", overrides)
    cases = read_cohort(config, folder)
    preparer = fit_preparer(config, cases, Sandbox())
    batch = prepare_all(preparer, cases)
    torch.manual_seed(0)
    network = network_for(config, preparer, [-0.4] * len(config.targets))
    network.fit_encoders(batch)
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    scores = score_subsets(network.eval(), batch, [case.patient_id for case in cases], config.target_names)
    calibrator = Calibrator.fit(scores, sensitivity=0.9, bootstrap=30)
    uncertainty = Uncertainty.fit(scores, calibrator, alpha=config.decision.alpha)
    guards = fit_guards(config, preparer.modalities, batch, cases)
    parts = config, preparer, Committee([network], None), calibrator, uncertainty, guards
    return Predictor("d" * 64, *parts, torch.device("cpu")), cases


@pytest.fixture(scope="session")
def film_cohort(tmp_path_factory):
    return make_predictor(tmp_path_factory.mktemp("films"), "quickstart", "cr")


@pytest.fixture(scope="session")
def volume_cohort(tmp_path_factory):
    return make_predictor(tmp_path_factory.mktemp("volumes"), "quickstart_ct", "ct")


@pytest.fixture(scope="session")
def predictor(film_cohort) -> Predictor:
    return film_cohort[0]


@pytest.fixture(scope="session")
def complete_case(film_cohort):
    return next(case for case in film_cohort[1] if len(case.inputs) == 3)


@pytest.fixture
def answer():
    """The record of a case, explained for one target."""

    def of(predictor, case, target="pneumonia", **options):
        [prediction] = predictor.predict([case])
        return build(predictor, case, prediction, predictor.explain(case, target), **({"created": NOON} | options))

    return of
