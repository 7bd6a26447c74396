"""The README's commands exist, and the two that matter come first."""

import re
import subprocess

import pytest

from tests.meta.checkout import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"^```[a-z]*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
_COMMANDS = [line.strip() for block in _BLOCKS for line in block.splitlines()]


def test_demo_and_test_come_first() -> None:
    assert [line.split("#")[0].strip() for line in _COMMANDS[:2]] == ["./run demo", "./run test"]


def test_every_run_command_of_the_documents_is_known() -> None:
    usage = subprocess.run([str(ROOT / "run"), "help"], capture_output=True, text=True, check=True)
    known = set(re.findall(r"^  ([a-z0-9]+)  ", usage.stdout, re.MULTILINE))
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    used = {
        name
        for document in documents
        for name in re.findall(r"\./run ([a-z0-9]+)", document.read_text(encoding="utf-8"))
    }
    assert {"demo", "test"} <= used
    assert used <= known


def test_unknown_run_command_is_refused() -> None:
    result = subprocess.run(
        [str(ROOT / "run"), "dmeo"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "unknown command: dmeo" in result.stderr


@pytest.mark.parametrize(
    "name",
    ["LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "run", ".ci/run"],
)
def test_file_of_the_foundation_exists(name: str) -> None:
    path = ROOT / name
    assert path.is_file()
    assert path.stat().st_size > 0


def test_links_of_the_documents_lead_somewhere() -> None:
    """Files only; `./run lint` makes the site, which looks at headings as well."""
    broken = [
        f"{document.name} -> {target}"
        for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text("utf-8"))
        if not (document.parent / target).exists()
    ]
    assert broken == []
