"""The house stands: nothing heavy at the door, no torchvision, nothing that unpickles, no word of another machine."""

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "monai", "transformers", "captum", "sklearn", "polars", "matplotlib", "scipy")
SOURCES = sorted(path for room in ("clinimm", "services", "migrations") for path in (ROOT / room).rglob("*.py"))


def loaded(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `code`."""
    script = f"{code}\nimport sys; print(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


@pytest.mark.parametrize("code", ["import clinimm", "import clinimm.cli", "import clinimm.config, clinimm.types"])
def test_the_door_is_light(code: str) -> None:
    assert not loaded(code) & set(HEAVY)


def test_reading_files_needs_no_nets() -> None:
    assert not loaded("import clinimm.io.scan, clinimm.io.manifest, clinimm.io.labs") & {
        "torch",
        "monai",
        "transformers",
    }


def test_torchvision_is_absent() -> None:
    assert find_spec("torchvision") is None


UNPICKLING = {
    ("pickle", "load"), ("pickle", "loads"), ("torch", "load"), ("joblib", "load"), ("yaml", "load"),
    ("dill", "load"), ("dill", "loads"), ("shelve", "open"),
}  # fmt: skip
IMPORTER = ROOT / "clinimm" / "backbone" / "foreign.py"  # the one place that may, and only with weights_only


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            called = (node.func.value.id, node.func.attr)
            safe = any(word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in node.keywords)
            allowed = path == IMPORTER and called == ("torch", "load") and safe
            assert allowed or called not in UNPICKLING
            assert not any(word.arg == "allow_pickle" for word in node.keywords)


def test_files_and_functions_stay_small() -> None:
    long_files = [str(path) for path in SOURCES if path.read_text(encoding="utf-8").count("\n") > 320]
    long_functions = [
        f"{path}:{node.lineno} {node.name}"
        for path in SOURCES
        if "migrations" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno > 60
    ]
    assert long_files == []
    assert long_functions == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path) for path in SOURCES if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
