"""Makes the manual pages, and docs/manual.md, out of what the programs say with ``--help``.

    python packaging/man_pages.py DIRECTORY
    python packaging/man_pages.py --markdown docs/manual.md

The first writes a page for each program, such as ``man1/mqvpn.1`` and ``man8/mqvpn-core.8``, the
second the page of the documentation with the same content.
"""

import argparse
import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path

from mqvpn_core.cli import main as run_core
from mqvpn_gui.app.options import make_parser as window_parser
from mqvpn_gui.command.main import main as run_command
from mqvpn_helper.installing.main import main as run_installer
from mqvpn_helper.service.main import main as run_helper

_MAX_DEPTH = 3
_ENVIRONMENT = {"COLUMNS": "90", "NO_COLOR": "1"}
_MARKDOWN = """\
# All commands and options

This page is made from the programs themselves by
`python packaging/man_pages.py --markdown docs/manual.md`; a test keeps the two in step. The same
stands in the manual pages that come with the packages.

Contents: {contents}.
"""


def _run_window(arguments: Sequence[str]) -> None:
    window_parser().parse_args(arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program with a page."""

    name: str
    """What it is called."""
    run: Callable[[Sequence[str]], object]
    """Runs it with the arguments of a command line."""
    section: int
    """Of the manual: 1 is for users, 8 for administrators."""
    summary: str
    """A line about it."""
    see_also: str
    """Other pages."""


PROGRAMS = (
    Program(
        name="mqvpn",
        run=run_command,
        section=1,
        summary="control the VPN of this machine",
        see_also="mqvpn-gui(1), mqvpn-core(8)",
    ),
    Program(
        name="mqvpn-core",
        run=run_core,
        section=8,
        summary="client and server of a VPN over HTTP/3 and multipath QUIC",
        see_also="mqvpn(1), systemctl(1), nft(8)",
    ),
    Program(
        name="mqvpn-gui",
        run=_run_window,
        section=1,
        summary="window and tray icon of the VPN",
        see_also="mqvpn(1), mqvpn-core(8)",
    ),
    Program(
        name="mqvpn-helper",
        run=run_helper,
        section=8,
        summary="privileged side of the VPN on the system bus",
        see_also="mqvpn(1), mqvpn-core(8), polkit(8), dbus-daemon(1)",
    ),
    Program(
        name="mqvpn-install-helper",
        run=run_installer,
        section=8,
        summary="install the helper of the VPN where there is no package",
        see_also="mqvpn(1), mqvpn-core(8), mqvpn-helper(8)",
    ),
)
"""All programs with pages."""


def help_of(program: Program, command: Sequence[str]) -> str:
    """Return what a command says with ``--help``."""
    said = io.StringIO()
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            program.run([*command, "--help"])
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return said.getvalue()


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


def markdown() -> str:
    """Return the page of the documentation."""
    links = (f"[{program.name}](#{program.name})" for program in PROGRAMS)
    parts = [_MARKDOWN.format(contents=", ".join(links))]
    for program in PROGRAMS:
        for title, text in sections(program):
            heading = f"### {program.name} {title}" if title else f"## {program.name}"
            parts.append(f"{heading}\n\n```\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description="Make the manual out of --help.")
    parser.add_argument("directory", nargs="?", type=Path, help="where to write manual pages")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write one page of Markdown")
    options = parser.parse_args()
    if options.directory is not None:
        write_pages(options.directory, version_of("mqvpn"), "")
    if options.markdown is not None:
        options.markdown.write_text(markdown(), encoding="utf-8")


def _escaped(line: str) -> str:
    text = line.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


if __name__ == "__main__":
    main()
