"""The reader's scores on the development sentences of the benchmark, which is run as a user would run it."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_development_sentences_are_read_right_and_better_than_by_phrases_alone(tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    script, sentences = BENCHMARKS / "finding_reader.py", BENCHMARKS / "finding_sentences.csv"
    printed = subprocess.run(
        [sys.executable, str(script), str(sentences), "--out", str(out)], capture_output=True, text=True, check=True
    )
    scores = json.loads(out.read_text())[sentences.name]
    assert "uncertainty" in printed.stdout
    assert scores["sentences"] >= 120
    for row in ("mention", "all values", "assertion", "negation", "uncertainty"):
        counts = scores["reader"][row]
        assert counts["right"] >= 0.97 * max(counts["true"], counts["found"])
    assert scores["lexicon alone"]["all values"]["right"] < scores["reader"]["all values"]["right"]
