"""How many small faults in the code that safety hangs on its tests notice, and how much of it they run.

    python benchmarks/mutation_scores.py [--mutants 80] [--seed 1] [--again] [--children 2] [--out FILE]

Run it by `make mutants`, which installs what it needs. mutmut writes each module anew with one thing changed (a
comparison, a constant, an argument, a text), and runs the tests that reach the changed function: a mutant is killed
where one fails or never ends, and survives where all pass. `pyproject.toml` names modules and tests; of each module so
many mutants are drawn at random, all with `--mutants 0`. What was killed before is not run again without `--again`.
Not mutated: what stands outside functions (tables, patterns), and functions with a decorator. Branches are counted by
coverage.py over the same tests."""

import argparse
import json
import random
import resource
import subprocess
import sys
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SURVIVED, NOT_REACHED = 0, 33  # exit codes of pytest and mutmut; any other is a test that failed or did not end
ALIVE = (SURVIVED, NOT_REACHED, None)
MEMORY = 6 * 2**30  # bytes of a process: a mutant that never ends may fill all there is, and take others with it


@dataclass(frozen=True)
class Row:
    """Of one module: its mutants, how many were drawn, the survivors among these, and how much of it tests run."""

    module: str
    mutants: int
    drawn: int
    survivors: tuple[str, ...]
    lines_and_branches: int
    of_these_run: int

    @property
    def score(self) -> float:
        return 1 - len(self.survivors) / self.drawn


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--mutants", type=int, default=80, help="of each module; 0 is all")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--children", type=int, default=2)
    arguments.add_argument("--again", action="store_true")
    arguments.add_argument("--out", type=Path)
    asked = arguments.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    Path("mutants/mutmut-stats.json").unlink(missing_ok=True)  # which test reaches what: tests may have changed since
    written = subprocess.run([*python("mutmut"), "run", "none of these"], capture_output=True, text=True, check=False)
    found = codes()
    if "nothing matches" not in written.stderr or not found:
        sys.exit(written.stdout + written.stderr)
    chosen = drawn(found, asked.mutants, asked.seed)
    open_ones = [
        name for module, names in chosen.items() for name in names if asked.again or found[module][name] in ALIVE
    ]
    if open_ones:
        subprocess.run([*python("mutmut"), "run", "--max-children", str(asked.children), *open_ones], check=True)
    rows = judged(chosen, covered())
    print(table(rows))
    if asked.out is not None:
        asked.out.write_text(json.dumps([asdict(row) | {"score": row.score} for row in rows], indent=2))


def python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def codes() -> dict[str, dict[str, int | None]]:
    """By module the exit code of each mutant's tests, None for what was not run."""
    files = sorted(Path("mutants").rglob("*.py.meta"))
    found = {str(file.relative_to("mutants"))[: -len(".meta")]: json.loads(file.read_text()) for file in files}
    return {module: one["exit_code_by_key"] for module, one in found.items() if one["exit_code_by_key"]}


def drawn(found: dict[str, dict[str, int | None]], most: int, seed: int) -> dict[str, list[str]]:
    """At most so many mutants of each module; a module's draw does not depend on the others."""
    chosen = {}
    for module, of in found.items():
        names = sorted(of)
        few = random.Random(f"{seed} {module}").sample(names, min(most, len(names)))
        chosen[module] = sorted(few) if most else names
    return chosen


def covered() -> dict[str, Any]:
    """coverage.py's summary of each module."""
    settings = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"]
    only = ",".join(settings["only_mutate"])
    tests = [*settings["pytest_add_cli_args"], *settings["pytest_add_cli_args_test_selection"]]
    run = [*python("coverage"), "run", "--branch", "--data-file=mutants/.coverage", f"--include={only}", "-m", "pytest"]
    subprocess.run([*run, *tests], stdout=subprocess.DEVNULL, check=True)
    report = ["json", "--data-file=mutants/.coverage", "--quiet", "-o", "mutants/coverage.json"]
    subprocess.run([*python("coverage"), *report], check=True)
    files = json.loads(Path("mutants/coverage.json").read_text())["files"]
    return {name: one["summary"] for name, one in files.items()}


def judged(chosen: dict[str, list[str]], summaries: dict[str, Any]) -> list[Row]:
    """A row for each module, the lowest score first."""
    found, rows = codes(), []
    for module, names in chosen.items():
        alive = tuple(name for name in names if found[module][name] in ALIVE)
        whole, run = (
            summaries[module][lines] + summaries[module][branches]
            for lines, branches in (("num_statements", "num_branches"), ("covered_lines", "covered_branches"))
        )
        rows.append(Row(module, len(found[module]), len(names), alive, whole, run))
    return sorted(rows, key=lambda row: row.score)


def table(rows: list[Row]) -> str:
    heads = ("module", "mutants", "drawn", "killed", "survived", "score", "lines and branches run")
    lines = [heads, ("---",) * len(heads)]
    for row in rows:
        survived, run = len(row.survivors), row.of_these_run / row.lines_and_branches
        counts = (row.mutants, row.drawn, row.drawn - survived, survived)
        lines.append((row.module, *map(str, counts), f"{row.score:.1%}", f"{run:.1%}"))
    drawn_in_all, survived_in_all = sum(row.drawn for row in rows), sum(len(row.survivors) for row in rows)
    told = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"{told}\n\nSurvived in all: {survived_in_all} of {drawn_in_all}. `mutmut show NAME` shows one:\n"
        + "\n".join(name for row in rows for name in row.survivors)
    )


if __name__ == "__main__":
    main()
