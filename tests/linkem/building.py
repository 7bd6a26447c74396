"""Compiles the link emulator at its first use and keeps it in a cache folder outside of git."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

_SOURCES = Path(__file__).parent
_CHECKOUT = _SOURCES.parents[1]
_OPTIONS = ("-std=gnu11", "-O2", "-Wall", "-Wextra")


class EmulatorError(Exception):
    """The link emulator cannot be built, started or commanded; the message says why."""


@cache
def emulator_executable() -> Path:
    """The compiled emulator, made now when there is none for these sources.

    Raises:
        EmulatorError: there is no C compiler, or it fails.
    """
    sources = sorted(_SOURCES.glob("*.[ch]"))
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()
    folder = _cache_folder()
    executable = folder / f"linkem-{digest[:16]}"
    if not executable.exists():
        _compile([source for source in sources if source.suffix == ".c"], folder, executable)
    return executable


def _cache_folder() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME")
    folder = Path(chosen, "mqvpn") if chosen else _CHECKOUT / ".build"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="ascii")
    return folder


def _compile(sources: list[Path], folder: Path, executable: Path) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        raise EmulatorError(
            "the link emulator needs a C compiler: apt-get install gcc libc6-dev (or set CC)"
        )
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch, executable.name)
        command = [compiler, *_OPTIONS, "-o", str(made), *map(str, sources), "-lm"]
        result = subprocess.run(  # noqa: S603 - the user's own compiler on our own sources
            command, capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise EmulatorError(f"the link emulator does not compile:\n{result.stderr}")
        made.replace(executable)  # at once: another process may be looking for it
