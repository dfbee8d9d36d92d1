"""Every table of the README from one command: each benchmark in a process of its own, two at a time.

    python benchmarks/results.py [--data DIR] [--only NAME ...] [--again] [--out results] [--jobs 2] [--list]

DIR holds covid_cxr, appendicitis, interaction and dicom_hard; without it, what needs none of them runs. `--only` takes
the beginnings of names, such as `covid`. What has its JSON in --out is not run again without --again; a training that
was cut off goes on where it stood. Each job leaves NAME.log and NAME.json there, the latter with its commands, its
seconds and the commit; at the end README-tables.md has all tables that there are."""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from result_tables import TABLES

HERE = Path(__file__).parent
CONFIGS = HERE.parent / "configs"
PYTHON = sys.executable
CLINIMM = (PYTHON, "-c", "from clinimm.cli import main; main()")
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """Commands that run one after the other; `written` is the JSON that the last one leaves, and `table` the name of
    what renders it. `made` are folders that it goes on from when it was cut off."""

    name: str
    title: str
    commands: tuple[tuple[str, ...], ...]
    written: Path
    table: str
    after: str = ""
    made: tuple[Path, ...] = ()


def planned(out: Path, data: Path | None) -> list[Job]:
    """All jobs that can run, the long ones first."""
    planted = [
        _planted(out, "films"), *(_gates(out, kind) for kind in ("synergy", "redundant")),
        *(_planted(out, kind) for kind in ("synergy", "redundant")),
        _script(out, "next-planted", "Which input next? Planted", "next_input"),
        _script(out, "conformal", "Conformal coverage", "conformal_coverage", flag="--out"),
    ]  # fmt: skip
    if data is None:
        return planted
    pictures = ("--data", str(data / "covid_cxr"), "--hard", str(data / "dicom_hard"))
    return [
        _folds("covid", "Films, notes and labs", "cxr_note_labs", data / "covid_cxr", out),
        _folds("appendicitis", "Exam, labs and ultrasound", "appendicitis", data / "appendicitis", out),
        *(_gates(out, kind, data) for kind in ("covid", "appendicitis")),
        *(_interaction(out, seed, data / "interaction") for seed in (0, 1, 2)),
        _next(out, "appendicitis", "appendicitis", data / "appendicitis"),
        _next(out, "covid", "cxr_note_labs", data / "covid_cxr"),
        _script(out, "wrong-pictures", "Wrong pictures", "wrong_pictures", *pictures),
        *planted,
    ]  # fmt: skip


def _script(out: Path, name: str, title: str, script: str, *rest: str, flag: str = "--json", after: str = "") -> Job:
    written = out / "raw" / f"{name}.json"
    command = (PYTHON, str(HERE / f"{script}.py"), *rest, flag, str(written))
    return Job(name, title, (command,), written, script, after)


def _planted(out: Path, kind: str) -> Job:
    return _script(out, f"planted-{kind}", f"Planted truth: {kind}", "planted_fusion", "--kind", kind)


def _folds(name: str, title: str, config: str, cohort: Path, out: Path) -> Job:
    run, page = out / "runs" / name, out / "pages" / name
    return Job(
        name, title,
        (
            (*CLINIMM, "train", str(CONFIGS / f"{config}.toml"), "--data", str(cohort), "--folds", "--out", str(run)),
            (*CLINIMM, "evaluate", str(run), str(cohort / "cases.csv"), "--opponents", "--out", str(page)),
        ),
        page / "evaluation.json", "evaluation", made=(run, page),
    )  # fmt: skip


def _interaction(out: Path, seed: int, cohort: Path) -> Job:
    folder = out / "runs" / f"interaction-{seed}"
    rest = ("--data", str(cohort), "--seed", str(seed), "--out", str(folder))
    found = _script(out, f"interaction-{seed}", "Interaction", "interaction", *rest)
    return Job(found.name, found.title, found.commands, found.written, found.table, made=(folder,))


def _gates(out: Path, kind: str, data: Path | None = None) -> Job:
    rest = ("--data", str(data)) if data else ()
    return _script(out, f"gates-{kind}", "Ways of joining inputs", "gates", "--kind", kind, *rest)


def _next(out: Path, run: str, config: str, cohort: Path) -> Job:
    rest = ("--data", str(cohort), "--config", str(CONFIGS / f"{config}.toml"), "--run", str(out / "runs" / run))
    return _script(out, f"next-{run}", "Which input next?", "next_input", *rest, after=run)


# --- running


def run(job: Job, out: Path) -> float:
    """Seconds that the job took; its JSON is in `out` when it returns. Raises CalledProcessError."""
    start = time.perf_counter()
    for path in (job.written, *job.made):
        path.parent.mkdir(parents=True, exist_ok=True)
    with (out / f"{job.name}.log").open("a", encoding="utf-8") as log:
        for command in job.commands:
            log.write(f"$ {spoken(command)}\n")
            log.flush()
            subprocess.run(command, check=True, stdout=log, stderr=log, env=os.environ | ENVIRONMENT)
    seconds = time.perf_counter() - start
    record = {
        "name": job.name, "title": job.title, "table": job.table, "seconds": round(seconds, 1), "commit": commit(),
        "commands": [spoken(command) for command in job.commands],
        "found": json.loads(job.written.read_text(encoding="utf-8")),
    }  # fmt: skip
    part = out / f"{job.name}.json.part"
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    part.replace(out / f"{job.name}.json")
    return seconds


def spoken(command: Sequence[str]) -> str:
    """A command as one would type it in the root of the repository."""
    words = ["clinimm", *command[3:]] if tuple(command[:3]) == CLINIMM else ["python", *command[1:]]
    return shlex.join(word.removeprefix(f"{HERE.parent}/") for word in words)


def forget(job: Job, out: Path) -> None:
    """The job will start anew."""
    for end in ("json", "log"):
        (out / f"{job.name}.{end}").unlink(missing_ok=True)
    for folder in job.made:
        shutil.rmtree(folder, ignore_errors=True)


def commit() -> str:
    """The short id of the code's commit; "" where that cannot be told."""
    git = shutil.which("git")
    if git is None:
        return ""
    told = subprocess.run([git, "-C", str(HERE), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return told.stdout.strip()


def run_all(jobs: Sequence[Job], out: Path, at_once: int, say: Callable[[str], None] = print) -> list[str]:
    """Runs what can run, `at_once` jobs at a time; the names of those that failed or waited for one that did."""
    names = {job.name for job in jobs}
    waiting, running, failed = list(jobs), dict[Future[float], Job](), list[str]()
    with ThreadPoolExecutor(at_once) as pool:
        while waiting or running:
            for job in [one for one in waiting if one.after in failed]:
                waiting.remove(job)
                failed.append(job.name)
                say(f"{job.name}: left out, for {job.after} failed")
            open_ = {job.name for job in (*waiting, *running.values())} & names
            ready = [job for job in waiting if job.after not in open_]
            for job in ready[: at_once - len(running)]:
                waiting.remove(job)
                running[pool.submit(run, job, out)] = job
                say(f"{job.name}: started")
            done, _ = wait(running, return_when=FIRST_COMPLETED) if running else (set[Future[float]](), None)
            for one in done:
                job = running.pop(one)
                if one.exception() is None:
                    say(f"{job.name}: {one.result():.0f} s")
                else:
                    failed.append(job.name)
                    say(f"{job.name}: FAILED, see {out / job.name}.log ({one.exception()})")
    return failed


# --- telling


def write_tables(names: Sequence[str], out: Path) -> Path:
    """README-tables.md of what has its JSON, in the order of `names`."""
    sections = []
    for name in names:
        path = out / f"{name}.json"
        if path.exists():
            one: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            about = f"{name}, {one['seconds']:.0f} s, commit {one['commit']}"
            commands = "\n".join(one["commands"])
            sections.append(
                f"## {one['title']} ({about})\n\n```\n{commands}\n```\n\n{TABLES[one['table']](one['found'])}\n"
            )
    page = out / "README-tables.md"
    page.write_text("# Results\n\n" + "\n".join(sections), encoding="utf-8")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="only say what there is to run")
    given = parser.parse_args()
    jobs = planned(given.out, given.data)
    chosen = [job for job in jobs if not given.only or any(job.name.startswith(word) for word in given.only)]
    if not chosen:
        parser.error(f"nothing is called {', '.join(given.only)}; there are: {', '.join(job.name for job in jobs)}")
    given.out.mkdir(parents=True, exist_ok=True)
    if given.again:
        for job in chosen:
            forget(job, given.out)
    todo = [job for job in chosen if not (given.out / f"{job.name}.json").exists()]
    if given.list:
        for job in chosen:
            print(f"{job.name:18}{'to run' if job in todo else 'done':8}" + " && ".join(map(spoken, job.commands)))
        return
    start = time.perf_counter()
    failed = run_all(todo, given.out, given.jobs, lambda line: print(line, flush=True))
    print(
        f"wrote {write_tables([job.name for job in jobs], given.out)}; {(time.perf_counter() - start) / 60:.1f} minutes"
    )
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
