"""The files of a machine: put there, or taken away."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from mqvpn_helper.installing.environment import (
    compile_modules,
    copy_distributions,
    make_environment,
    needed_distributions,
)
from mqvpn_helper.installing.errors import InstallError
from mqvpn_helper.installing.machine_files import ENVIRONMENT, MACHINE_FILES, PROGRAMS, source_of

_LIST = "installed-files"
_PROGRAM = """\
#!/{environment}/bin/python3 -I
import sys

{line}

if __name__ == "__main__":
    sys.exit(main())
"""
_OF_RUNS = ("run/mqvpn", "run/mqvpn-server")
_OF_USERS = ("etc/mqvpn", "var/lib/mqvpn", "var/lib/mqvpn-server")


@dataclass(frozen=True, slots=True)
class Machine:
    """The file system below a folder. C: `install`, `refuse_strangers`, `remove`, `purge`."""

    root: Path
    """The folder."""

    def install(self) -> None:
        """Install, or replace what an earlier call has installed.

        Raises:
            InstallError: that cannot be; nothing is changed.
        """
        place = self.root / ENVIRONMENT
        if place.exists():
            self.refuse_strangers()
        distributions = needed_distributions()
        sources = {name: source_of(name) for name in MACHINE_FILES}
        new, old = (place.with_name(f"{place.name}.{word}") for word in ("new", "old"))
        for each in (new, old):
            shutil.rmtree(each, ignore_errors=True)
        copy_distributions(distributions, make_environment(new, system_python()))
        shared = new / "share/mqvpn"
        shared.mkdir(parents=True)
        for name, source in sources.items():
            shutil.copyfile(source, shared / name)
        listed = [*MACHINE_FILES.values(), *(f"usr/bin/{name}" for name in PROGRAMS)]
        (new / _LIST).write_text("".join(f"{each}\n" for each in listed), encoding="ascii")
        if place.exists():
            place.rename(old)
        new.rename(place)
        shutil.rmtree(old, ignore_errors=True)
        compile_modules(place)
        for name, target in MACHINE_FILES.items():
            _write(self.root / target, (place / "share/mqvpn" / name).read_text("utf-8"), 0o644)
        for name, line in PROGRAMS.items():
            text = _PROGRAM.format(environment=ENVIRONMENT, line=line)
            _write(self.root / "usr/bin" / name, text, 0o755)

    def refuse_strangers(self) -> None:
        """Refuse what this program has not installed.

        Raises:
            InstallError: it is a package's, or nothing is there.
        """
        place = self.root / ENVIRONMENT
        if not place.exists():
            raise InstallError(f"nothing is installed in {place}")
        if not (place / _LIST).is_file():
            raise InstallError(f"{place} belongs to a package: use apt or what has installed it")

    def remove(self) -> None:
        """Take away what `install` has made, and what runs have left."""
        place = self.root / ENVIRONMENT
        for name in (place / _LIST).read_text(encoding="ascii").splitlines():
            (self.root / name).unlink(missing_ok=True)
        for name in (ENVIRONMENT, *_OF_RUNS):
            shutil.rmtree(self.root / name, ignore_errors=True)

    def purge(self) -> None:
        """Take away configuration, keys, users, leases and counters."""
        for name in _OF_USERS:
            shutil.rmtree(self.root / name, ignore_errors=True)


def system_python() -> Path:
    """Return the interpreter of the system, of the version that what is installed is for.

    Raises:
        InstallError: there is none; the helper cannot run one that a user can change.
    """
    short = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = Path(f"/usr/bin/python{short}")
    if not found.exists():
        raise InstallError(
            f"mqvpn is installed for Python {short}, which is not the system's:"
            " pipx install --python /usr/bin/python3 does that"
        )
    return found


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # not through a link
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
