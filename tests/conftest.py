"""Shapes in signatures are checked in the test run, before anything of clinimm is imported.

`tiny_cohort` and `tiny_artifact` are real and small: a synthetic cohort on disk, and a model trained on it."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from jaxtyping import install_import_hook

install_import_hook("clinimm", "shape_checks.typechecker")

from pathlib import Path

import hypothesis
import pytest

from clinimm.config import Config, load

# How fast a machine is must decide no test, and what fails once fails again.
hypothesis.settings.register_profile("any machine", deadline=None, derandomize=True)
hypothesis.settings.load_profile("any machine")

ROOT = Path(__file__).parent.parent
TINY = (
    "inputs.cxr.size=[32, 32]",
    "inputs.cxr.encoder.options={planes=[4, 8, 8, 16]}",
    "inputs.note.encoder={name='transformer', options={hidden=16, layers=1, heads=2}}",
    "inputs.note.length=48",
    "model.width=8",
    "committee={folds=2, narrow=2, narrow_epochs=5, trees=5}",
    "decision={outlier_abstains='never', abstain_doubted=false}",  # the posted notes are no medicine
    "optim.epochs=2",
    "evaluation.bootstrap=20",
    "explain.measured=3",
)


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 48 synthetic cases."""
    from clinimm.data.synthetic import write_cohort

    return write_cohort(tmp_path_factory.mktemp("cohort") / "tiny", n=48, seed=1).parent


@pytest.fixture(scope="session")
def tiny_config() -> Config:
    """The quickstart, small enough to train in seconds."""
    return load(ROOT / "configs" / "quickstart.toml", TINY)


@pytest.fixture(scope="session")
def tiny_artifact(tiny_cohort: Path, tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact trained for two epochs: real in every part, and no good."""
    from clinimm.data.cohort import read_cohort
    from clinimm.training.folds import split
    from clinimm.training.run import train

    cases = read_cohort(tiny_config, tiny_cohort)
    return train(tiny_config, split(tiny_config, cases), tmp_path_factory.mktemp("run")).directory
