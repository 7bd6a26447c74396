"""The version stands in pyproject.toml; whoever else has to name it says the same."""

import re
import tomllib

from tests.meta.checkout import ROOT

VERSION = str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def _found(name: str, pattern: str) -> list[str]:
    return re.findall(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_newest_entry_of_the_changelog_is_of_this_version() -> None:
    assert _found("CHANGELOG.md", r"^## \[([^\]]+)\]")[0] == VERSION


def test_the_newest_release_of_the_metainfo_is_this_version() -> None:
    name = "resources/org.mqvpn.Client.metainfo.xml"
    assert _found(name, r'<release version="([^"]+)"')[0] == VERSION


def test_the_native_kernel_has_this_version() -> None:
    assert _found("native/Cargo.toml", r'^version = "([^"]+)"') == [VERSION]


def test_programs_ask_for_their_version() -> None:
    """No module writes it down: it is what was installed."""
    written = [
        path
        for package in ("mqvpn_core", "mqvpn_gui", "mqvpn_helper")
        for path in (ROOT / package).rglob("*.py")
        if f'"{VERSION}"' in path.read_text(encoding="utf-8")
    ]
    assert written == []
