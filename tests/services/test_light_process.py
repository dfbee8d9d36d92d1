"""The API's process and the command's help hold no net."""

import subprocess
import sys

HEAVY = ("torch", "monai", "transformers", "captum", "sklearn", "matplotlib", "polars", "torchvision")


def loaded_after(code: str) -> set[str]:
    check = f"import sys\n{code}\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_api_imports_no_net() -> None:
    assert loaded_after("import services.server") == set()


def test_help_imports_nothing_of_the_service() -> None:
    code = "import services.cli\nassert not {'sqlalchemy', 'fastapi', 'dbos'} & set(sys.modules)"
    assert loaded_after(code) == set()
