"""Runs a trial from a shell and prints its table; exits with 1 where an invariant was broken."""

import argparse
import math
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from conftest import ROOT, TINY
from service_processes import new_database, postgres

from chaos import trial


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop killing after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--artifact", type=Path, help="an artifact; a tiny one is trained if none is given")
    parser.add_argument("--apis", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cold", type=float, default=0.1, help="share of starts that load Python anew")
    parser.add_argument("--pause", type=float, default=1.0, help="mean seconds between two acts of a client")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clinimm-chaos-")))
        url = f"sqlite:///{folder / 'clinimm.db'}"
        if given.database == "postgresql":
            url = new_database(stack.enter_context(postgres()), "chaos", "clinimm_template")
        plan = trial.Plan(
            given.kills,
            given.seed,
            given.apis,
            given.workers,
            cold_share=given.cold,
            pause=given.pause,
            seconds=60 * given.minutes,
            rest_seconds=3600,
        )
        outcome = trial.run(plan, url, folder / "trial", given.artifact or _trained(folder))
    print(f"chaos on {given.database}, seed {given.seed}\n{trial.table(outcome)}")
    for breach in outcome.breaches[:50]:
        print("BROKEN:", breach, file=sys.stderr)
    return bool(outcome.breaches)


def _trained(folder: Path) -> Path:
    from clinimm.config import load
    from clinimm.data.cohort import read_cohort
    from clinimm.data.synthetic import write_cohort
    from clinimm.training.folds import split
    from clinimm.training.run import train

    cohort = write_cohort(folder / "cohort", n=48, seed=1).parent
    config = load(ROOT / "configs" / "quickstart.toml", TINY)
    return train(config, split(config, read_cohort(config, cohort)), folder / "run").directory


if __name__ == "__main__":
    sys.exit(main())
