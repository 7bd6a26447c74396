"""Pins what the packages carry besides mqvpn: exact versions, each with the hashes of its wheels.

pip's own resolver says what is needed. A lock is a file of requirements that pip checks each wheel
against (``--require-hashes``). Its first lines tell what it was made from, so that a test sees
without a network when ``pyproject.toml`` has gone on.

    python packaging/lock_wheels.py             makes all locks anew
    python packaging/lock_wheels.py core        makes one

"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_GLIBCS = ("2_39", "2_34", "2_31", "2_28", "2_27", "2_17")
_HEADING = "# made by packaging/lock_wheels.py, not by hand\n"
_FROM = "# from: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A set of wheels that goes into one package."""

    file: str
    """Its name below packaging/wheels."""
    python: str
    """Version of the Python that it is for."""
    extras: tuple[str, ...]
    """Extras of pyproject.toml; an empty name is what mqvpn always needs."""
    besides: str = ""
    """Another lock, whose wheels are there already."""
    architectures: tuple[str, ...] = ("x86_64", "aarch64")
    """Machines that all these wheels are there for."""
    more: tuple[str, ...] = ()
    """Requirements besides those of the extras."""


LOCKS = {
    # Debian 12 has Python 3.11.
    "core": Lock(file="core-3.11.txt", python="3.11", extras=("", "desktop")),
    # For other machines PySide6 needs a glibc newer than Debian 12's.
    "gui": Lock(
        file="gui-3.11.txt",
        python="3.11",
        extras=("", "gui"),
        besides="core",
        architectures=("x86_64",),
    ),
    # The runtime of the Flatpak has Python 3.13; neither core nor helper is in there.
    "flatpak": Lock(
        file="flatpak-3.13.txt", python="3.13", extras=("gui",), more=("typing-extensions>=4.12",)
    ),
}
"""All locks."""


def requirements_of(lock: Lock) -> list[str]:
    """Return what pyproject.toml asks for today."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: list[str] = []
    for extra in lock.extras:
        found += _of_extra(project, extra)
    return sorted({*found, *lock.more})


def _of_extra(project: dict[str, object], extra: str) -> list[str]:
    extras, always = project["optional-dependencies"], project["dependencies"]
    assert isinstance(extras, dict)
    assert isinstance(always, list)
    listed: list[str] = extras[extra] if extra else always
    found: list[str] = []
    for requirement in listed:
        if requirement.startswith("mqvpn["):
            for name in requirement.removeprefix("mqvpn[").rstrip("]").split(","):
                found += _of_extra(project, name)
        else:
            found.append(requirement)
    return found


def path_of(lock: Lock) -> Path:
    """Return where a lock is."""
    return ROOT / "packaging" / "wheels" / lock.file


def sources_of(text: str) -> list[str]:
    """Return the requirements that a lock says it was made from."""
    lines = text.splitlines()
    return [line.removeprefix(_FROM) for line in lines if line.startswith(_FROM)]


def pins_of(text: str) -> dict[str, str]:
    """Return names and versions in a lock."""
    words = (line.split()[0] for line in text.splitlines() if line[:1].isalnum())
    return {name.lower(): version for name, _, version in (word.partition("==") for word in words)}


def make(lock: Lock) -> str:
    """Ask pip for the wheels of a lock; return its text."""
    requirements = requirements_of(lock)
    given = pins_of(path_of(LOCKS[lock.besides]).read_text("utf-8")) if lock.besides else {}
    constraints = [f"{name}=={version}" for name, version in given.items()]
    hashes: dict[tuple[str, str], set[str]] = {}
    for architecture in lock.architectures:
        for name, version, digest in _resolve(lock, architecture, [*requirements, *constraints]):
            if name.lower() not in given:
                hashes.setdefault((name, version), set()).add(digest)
    lines = [_HEADING, *(f"{_FROM}{each}\n" for each in requirements)]
    for (name, version), digests in sorted(hashes.items(), key=lambda item: item[0][0].lower()):
        options = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(digests))
        lines.append(f"{name}=={version}{options}\n")
    return "".join(lines)


def _resolve(
    lock: Lock, architecture: str, requirements: Sequence[str]
) -> Iterable[tuple[str, str, str]]:
    tag = "cp" + lock.python.replace(".", "")
    select = ["--python-version", lock.python, "--implementation", "cp", "--only-binary=:all:"]
    for abi in (tag, "abi3", "none"):
        select += ["--abi", abi]
    for glibc in _GLIBCS:
        select += ["--platform", f"manylinux_{glibc}_{architecture}"]
    command = [
        *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"),
        *("--dry-run", "--ignore-installed", "--report", "-", "--target", "unused"),
        *select,
        *requirements,
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    for item in json.loads(done.stdout)["install"]:
        digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
        yield item["metadata"]["name"], item["metadata"]["version"], digest


def main(names: Sequence[str]) -> int:
    """Make the locks with these names, or all of them."""
    for name in names or LOCKS:
        lock = LOCKS[name]
        text = make(lock)
        path_of(lock).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path_of(lock).relative_to(ROOT)}: {len(pins_of(text))} wheels\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
