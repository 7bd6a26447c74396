"""Copies mqvpn and what it needs into an environment that belongs to root.

The helper must not run anything that a user can write, so nothing of the copy leads back to where
it came from: files only, no links, and the interpreter of the system.
"""

import compileall
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from mqvpn_helper.installing.errors import InstallError

PROJECT = "mqvpn"
EXTRA = "helper"
"""The extra that the helper needs."""

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


def needed_distributions() -> list[Distribution]:
    """Return mqvpn and all that client, server and helper need of what is installed here.

    Raises:
        InstallError: something is missing, or mqvpn is not really installed here.
    """
    found: dict[str, Distribution] = {}
    waiting = [PROJECT]
    while waiting:
        name = _normal(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            if name == PROJECT:
                raise InstallError("mqvpn is not installed here: install it with pip") from None
            continue  # for another platform or version of Python, or pip would have installed it
        waiting += _requirements(found[name].requires or [], EXTRA if name == PROJECT else "")
    if "jeepney" not in found:
        raise InstallError("the helper needs jeepney: pip install 'mqvpn[helper]'")
    if all(str(file).startswith(("..", "__editable__", "mqvpn-")) for file in files_of(PROJECT)):
        raise InstallError("mqvpn is installed in editable form here: pip install '.[helper]'")
    return [found[name] for name in sorted(found)]


def files_of(name: str) -> Sequence[PurePosixPath]:
    """Return the files of a distribution, as it names them."""
    return distribution(name).files or []


def copy_distributions(distributions: Iterable[Distribution], site: Path) -> None:
    """Copy the modules of distributions into a folder.

    Args:
        distributions: what to copy.
        site: where to.
    """
    for each in distributions:
        for file in each.files or []:
            # Programs are outside; ours are made anew, for another interpreter.
            if file.parts[0] == ".." or file.is_absolute() or "__pycache__" in file.parts:
                continue
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(each.locate_file(file)), target)


def make_environment(place: Path, interpreter: Path) -> Path:
    """Make an empty environment and return its folder for modules.

    Args:
        place: where.
        interpreter: of the system.
    """
    short = f"{sys.version_info.major}.{sys.version_info.minor}"
    (place / "bin").mkdir(parents=True)
    (place / "bin/python3").symlink_to(interpreter)
    settings = f"home = {interpreter.parent}\ninclude-system-site-packages = false\n"
    (place / "pyvenv.cfg").write_text(f"{settings}version = {short}\n", encoding="ascii")
    site = place / f"lib/python{short}/site-packages"
    site.mkdir(parents=True)
    return site


def compile_modules(site: Path) -> None:
    """Write the bytecode, which nobody but root could write later."""
    compileall.compile_dir(str(site), quiet=2)


def _requirements(texts: Sequence[str], wanted_extra: str) -> list[str]:
    names = []
    for text in texts:
        extra = _EXTRA.search(text)
        name = _NAME.match(text)
        if name is not None and (extra is None or extra[1] == wanted_extra):
            names.append(name[0])
    return names


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
