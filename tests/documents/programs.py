"""What the programs say of themselves, by the script that makes the manual pages of it."""

import importlib.util
import sys
from types import ModuleType

from tests.documents.blocks import ROOT


def _load() -> ModuleType:
    # packaging is the name of a library as well, which the folder must not hide.
    path = ROOT / "packaging/man_pages.py"
    spec = importlib.util.spec_from_file_location("man_pages_of_documents", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


man_pages = _load()
