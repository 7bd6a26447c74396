"""Says in a folder of modules which mqvpn it is, as pip would: ``mqvpn --version`` reads that.

    python packaging/flatpak/write_metadata.py FOLDER

Runs in the Flatpak's build, which has no network and thus nothing that could make a wheel.
"""

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

_PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def main(arguments: Sequence[str]) -> int:
    """Write the metadata."""
    project = tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]
    folder = Path(arguments[0]) / f"{project['name']}-{project['version']}.dist-info"
    folder.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (folder / "METADATA").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
