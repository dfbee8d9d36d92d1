"""The service under random SIGKILLs, briefly; `make chaos KILLS=1000` is the long run."""

from pathlib import Path

import pytest
from chaos.trial import Plan, run, table
from service_processes import new_database, postgres

PLAN = Plan(kills=8, workers=1, clients=3, pause=0.5, worker_share=0.125, cold_share=0.0, seconds=25, rest_seconds=300)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_acknowledged_is_lost_halved_or_doubled_by_kills(
    kind: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    if kind == "sqlite":
        assert_unharmed(f"sqlite:///{tmp_path / 'clinimm.db'}", tmp_path, tiny_artifact)
    else:
        with postgres() as server:
            assert_unharmed(new_database(server, "chaos", "clinimm_template"), tmp_path, tiny_artifact)


def assert_unharmed(url: str, folder: Path, artifact: Path) -> None:
    outcome = run(PLAN, url, folder / "trial", artifact)
    assert outcome.breaches == [], table(outcome)
    assert len(outcome.kills) > 1
    assert len(outcome.ledger.acknowledged) > len({one.case_id for one in outcome.ledger.acknowledged}) > 1
