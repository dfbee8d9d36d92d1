"""What the benchmarks reckon by themselves, and the driver that runs them all."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from evaluation_tables import figure, markdown
from next_input_figures import Asked, choices, flip_bins, judge, spearman
from results import Job, forget, planned, run_all, spoken, write_tables


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=3, max_size=30))
def test_a_weighed_rank_correlation_is_that_of_repeated_pairs(rows: list[tuple[int, int, int]]) -> None:
    x, y, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    repeated = [np.repeat(one, weights.astype(int)) for one in (x, y)]
    if any(len(np.unique(one)) < 2 for one in repeated):
        return
    assert spearman(x, y, weights[None])[0] == pytest.approx(spearmanr(*repeated).statistic, abs=1e-9)


def asked(expected: list[float], actual: list[float], usual: list[float]) -> Asked:
    """Questions with two hidden inputs each, a patient each."""
    n = len(actual)
    pairs = np.arange(n) // 2
    moved = np.array(actual)
    return Asked(
        patients=np.array([f"p{i}" for i in pairs]), question=pairs, shown=np.array(["a"] * n),
        hidden=np.array(["b", "c"] * (n // 2)), expected=np.array(expected), actual=moved,
        chance=moved, turned=moved > 0.5, usual=np.array(usual), usual_turn=np.array(usual),
    )  # fmt: skip


def test_choices_count_who_is_ranked_first() -> None:
    found = choices(asked([0.9, 0.1, 0.1, 0.9], [0.6, 0.2, 0.4, 0.8], [0.7, 0.3, 0.7, 0.3]))
    assert found.hits["model"].tolist() == [1, 1]
    assert found.hits["fixed order"].tolist() == [1, 0]
    assert found.hits["chance"].tolist() == [0.5, 0.5]
    assert found.moved["model"].tolist() == found.moved["best"].tolist() == [0.6, 0.8]
    assert found.moved["fixed order"].tolist() == [0.6, 0.4]


@pytest.mark.parametrize(("better", "said"), [(True, "better than a fixed order, clearly"), (False, "NO better")])
def test_the_verdict_says_when_a_fixed_order_would_do(better: bool, said: str) -> None:
    rng = np.random.default_rng(0)
    actual = rng.random(80)
    expected = actual if better else rng.random(80)
    found = judge(asked(expected.tolist(), actual.tolist(), [0.6, 0.4] * 40), 200)
    assert said in found["verdict"]
    assert (found["first_gain"]["interval"][0] > 0) == better


def test_flip_bins_hold_every_pair_once() -> None:
    rng = np.random.default_rng(1)
    one = asked(rng.random(50).tolist(), [0.0, 1.0, *rng.random(48)], rng.random(50).tolist())
    assert sum(row["pairs"] for row in flip_bins(one)) == 50
    assert all(row["from"] <= row["predicted"] <= row["to"] for row in flip_bins(one))


def test_tables_are_markdown() -> None:
    told = figure({"value": 0.5, "interval": [0.25, 0.75], "dropped": 0}, sign=True)
    assert told == "+0.500 [+0.250, +0.750]"
    assert markdown(("a", "b"), [(1, told)]).splitlines() == ["| a | b |", "| --- | --- |", f"| 1 | {told} |"]


def writes(folder: Path, name: str, *, code: str = "pass", after: str = "") -> Job:
    """A job that adds a line to a file and leaves an empty table of opponents' figures."""
    written = folder / "raw" / f"{name}.json"
    script = f"{code}; open({str(folder / 'order')!r}, 'a').write({name!r} + ' ')\n" + (
        f"import json; json.dump({{'found': {{}}, 'alpha': 0.1, 'cases': 1, 'seeds': 1}}, open({str(written)!r}, 'w'))"
    )
    return Job(name, "Title", ((sys.executable, "-c", script),), written, "conformal_coverage", after)


def test_the_driver_runs_each_once_and_what_waits_last(tmp_path: Path) -> None:
    jobs = [writes(tmp_path, "late", after="early"), writes(tmp_path, "early"), writes(tmp_path, "other")]
    assert run_all(jobs, tmp_path, 2, lambda line: None) == []
    order = (tmp_path / "order").read_text().split()
    assert sorted(order) == ["early", "late", "other"]
    assert order.index("early") < order.index("late")
    record = json.loads((tmp_path / "late.json").read_text())
    assert record["found"]["alpha"] == 0.1
    page = write_tables(["early", "absent", "late"], tmp_path).read_text()
    assert page.index("(early, ") < page.index("(late, ")
    assert "absent" not in page
    forget(jobs[0], tmp_path)
    assert not (tmp_path / "late.json").exists()


def test_what_waits_for_a_failure_is_left_out(tmp_path: Path) -> None:
    jobs = [writes(tmp_path, "bad", code="raise SystemExit(3)"), writes(tmp_path, "next", after="bad")]
    said: list[str] = []
    assert run_all(jobs, tmp_path, 2, said.append) == ["bad", "next"]
    assert not (tmp_path / "bad.json").exists()
    assert any("FAILED" in line and "bad.log" in line for line in said)


def test_every_job_is_of_a_script_that_is_there(tmp_path: Path) -> None:
    jobs = planned(tmp_path, tmp_path / "data")
    names = [job.name for job in jobs]
    assert len(set(names)) == len(names)
    assert {job.name for job in planned(tmp_path, None)} < set(names)
    assert all(job.after in ("", *names) for job in jobs)
    for job in jobs:
        for command in job.commands:
            assert spoken(command).startswith(("clinimm ", "python benchmarks/"))
            assert command[1] == "-c" or Path(command[1]).exists()
