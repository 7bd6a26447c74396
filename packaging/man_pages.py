"""Makes the manual pages out of what the programs say of themselves with ``--help``.

    python packaging/man_pages.py DIRECTORY

writes ``man1/mqvpn.1``, ``man1/mqvpn-gui.1`` and ``man8/mqvpn-core.8`` there.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_MAX_DEPTH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program with a page."""

    name: str
    """What it is called."""
    module: str
    """The module that runs it."""
    section: int
    """Of the manual: 1 is for users, 8 for administrators."""
    summary: str
    """A line about it."""
    see_also: str
    """Other pages."""


PROGRAMS = (
    Program(
        name="mqvpn",
        module="from mqvpn_gui.command.main import main",
        section=1,
        summary="control the VPN of this machine",
        see_also="mqvpn-gui(1), mqvpn-core(8)",
    ),
    Program(
        name="mqvpn-core",
        module="from mqvpn_core.cli import main",
        section=8,
        summary="client and server of a VPN over HTTP/3 and multipath QUIC",
        see_also="mqvpn(1), systemctl(1), nft(8)",
    ),
    Program(
        name="mqvpn-gui",
        module="",
        section=1,
        summary="window and tray icon of the VPN",
        see_also="mqvpn(1), mqvpn-core(8)",
    ),
)
"""All programs with pages."""

_WINDOW = """\
mqvpn-gui [mqvpn://...]

Shows the VPN in a window and as an icon in the panel. A link that is given is imported, after a
question. What the window shows and changes is done by the helper, which the system bus starts; what
it does for whom is decided by polkit.

Without a screen, mqvpn does the same.
"""


def help_of(program: Program, command: Sequence[str]) -> str:
    """Return what a command says with ``--help``."""
    if not program.module:
        return _WINDOW
    code = f"import sys; {program.module}; sys.argv[0] = {program.name!r}; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "90", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"},
        timeout=60,
    )
    return done.stdout


def sub_commands(text: str) -> list[str]:
    """Return the commands that a help text lists."""
    found: list[str] = []
    is_inside = False
    for line in text.splitlines():
        if line and not line.startswith(" "):
            is_inside = line.lower().startswith("commands")
        elif is_inside and (match := re.match(r"  ([a-z][a-z-]*)\s{2,}\S", line)):
            found.append(match[1])
    return found


def sections(program: Program, command: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Give title and text for each command, the program itself first."""
    text = help_of(program, command)
    yield " ".join(command), text
    if len(command) < _MAX_DEPTH:
        for name in sub_commands(text):
            yield from sections(program, [*command, name])


def page(program: Program, version: str, date: str) -> str:
    """Return a whole page in the language of man(7)."""
    lines = [
        f'.TH "{program.name.upper()}" "{program.section}" "{date}" "mqvpn {version}" "mqvpn"',
        ".SH NAME",
        f"{program.name} \\- {program.summary}",
    ]
    for title, text in sections(program):
        lines.append(f'.SH "{title.upper()}"' if title else ".SH DESCRIPTION")
        lines += [".nf", *(_escaped(line) for line in text.rstrip().splitlines()), ".fi"]
    lines += [".SH SEE ALSO", program.see_also]
    return "\n".join(lines) + "\n"


def write_pages(directory: Path, version: str, date: str) -> list[Path]:
    """Write every page below a directory; return the files."""
    written: list[Path] = []
    for program in PROGRAMS:
        path = directory / f"man{program.section}" / f"{program.name}.{program.section}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(program, version, date), encoding="utf-8")
        written.append(path)
    return written


def _escaped(line: str) -> str:
    text = line.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


if __name__ == "__main__":
    from importlib.metadata import version as version_of

    write_pages(Path(sys.argv[1]), version_of("mqvpn"), "")
