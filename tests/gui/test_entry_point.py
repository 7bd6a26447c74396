"""``mqvpn-gui`` where something that it needs is missing."""

import subprocess
import sys

import pytest

from mqvpn_gui.app import __main__ as entry

_ABSENT = "import sys; sys.modules['PySide6'] = None"
_BROKEN = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "PySide6":
            raise ImportError("libEGL.so.1: cannot open shared object file", name=name)
sys.meta_path.insert(0, Finder())
"""
_ADVICE = "sudo apt install libegl1 libgl1 libxkbcommon0 libfontconfig1 libdbus-1-3"
_OURS = "import sys; sys.modules['mqvpn_gui.app.desk'] = None"


def start(before: str) -> subprocess.CompletedProcess[str]:
    """Start it in a Python where something was done before."""
    code = f"{before}\nfrom mqvpn_gui.app.__main__ import run\nsys.exit(run())"
    return subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (_ABSENT, "the Python package PySide6 is missing\n  run: pip install 'mqvpn[gui]'\n"),
        (
            _BROKEN,
            f"libEGL.so.1: cannot open shared object file\n  Qt needs it; on Debian: {_ADVICE}\n",
        ),
    ],
    ids=["no Qt", "no library"],
)
def test_what_is_missing_is_named(before: str, said: str) -> None:
    done = start(before)
    assert (done.returncode, done.stderr) == (1, f"mqvpn-gui: {said}")


def test_a_fault_of_its_own_is_not_explained_away() -> None:
    done = start(_OURS)
    assert "Traceback" in done.stderr
    assert "ModuleNotFoundError" in done.stderr


def test_it_starts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["mqvpn-gui", "--version"])
    with pytest.raises(SystemExit) as ended:
        entry.run()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("mqvpn ")
