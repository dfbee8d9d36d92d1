"""Where files that ship beside the code live, in a checkout and in a wheel."""

from pathlib import Path

from clinimm.errors import ConfigError


def shipped(package_file: str, folder: str) -> Path:
    """`folder` inside the package (wheel) or beside it (checkout)."""
    package = Path(package_file).resolve().parent
    for place in (package / folder, package.parent / folder):
        if place.is_dir():
            return place
    raise ConfigError(f"{folder}/ is neither in the package nor beside it", mend="reinstall clinimm")
