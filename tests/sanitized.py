"""Tests with another build of the native kernel: ``python -m tests.sanitized LIBRARY TEST...``.

For a build that watches over memory (`./run sanitize`); its runtime has to be loaded before
Python, by ``LD_PRELOAD``.
"""

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

import pytest

NAME = "mqvpn_core.dataplane._native"


def load_kernel(library: Path) -> None:
    """Have ``import`` find this build from now on."""
    loader = importlib.machinery.ExtensionFileLoader(NAME, str(library))
    spec = importlib.util.spec_from_file_location(NAME, library, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[NAME] = module


def main(library: Path, arguments: list[str]) -> int:
    """Run tests; return pytest's exit code."""
    load_kernel(library.resolve())
    os.environ["MQVPN_DATAPLANE"] = "native"
    # Programs that tests start have faults of their own.
    os.environ.pop("LD_PRELOAD", None)
    # One process: others would not have the runtime.
    return pytest.main(["-q", "-n", "0", *arguments])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
