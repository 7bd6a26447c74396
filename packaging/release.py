"""Makes everything that a release has, from the last commit, and looks whether it is sound.

    python packaging/release.py [--output DIRECTORY] [--flatpak FILE] [--twice]

Into dist/release go: source archive, pure wheel, wheels with the native kernel for this machine and
for those that it can compile for, Debian packages, the archive with mqvpn-install-helper, manual
pages, lists of all parts (CycloneDX) and SHA256SUMS. The same commit on the same machine gives the
same bytes; ``--twice`` proves it.
"""

import argparse
import gzip
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUMS = "SHA256SUMS"
TOOLS = Path(sys.prefix) / "release/bin"
"""Programs of packaging/release-tools.txt, which ./run puts there."""
CROSS_COMPILERS: Mapping[str, str] = {
    "aarch64": "aarch64-linux-gnu-gcc",
    "x86_64": "x86_64-linux-gnu-gcc",
}
"""Machines with wheels, and what links for each."""
_INSTALLER = """\
#!/bin/sh
# Installs mqvpn's helper, server and client for the whole machine, from what lies beside this file.
# "--remove" takes them away again. Needs root, and Python {python} at /usr/bin/python{python}.
set -eu
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
/usr/bin/python{python} -m venv --without-pip "$work"
"$work/bin/python" "$(ls "$here"/wheels/pip-*.whl)/pip" install --quiet \\
    --disable-pip-version-check --no-index --find-links "$here/wheels" 'mqvpn[helper]'
"$work/bin/mqvpn-install-helper" "$@"
"""
_VALIDATE = """\
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[1], encoding="utf-8").read()
sys.exit(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text))
"""
_LOCKS = {"core": ("core-3.11.txt",), "window": ("core-3.11.txt", "gui-3.11.txt")}
_LOCKS_OF_FLATPAK = {"flatpak": ("flatpak-3.13.txt",)}
_PYTHON = "3.11"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One run."""

    source: Path
    """The commit, unpacked."""
    output: Path
    """Where the artefacts go."""
    scratch: Path
    """Where to work."""
    version: str
    """Of mqvpn."""
    epoch: int
    """Time of the commit, and of every file."""

    def run(self, *command: str, native: str = "off", **environment: str) -> str:
        """Run a program in the source; return what it wrote."""
        cargo = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
        # Paths of the machine that builds would make other bytes on the next one.
        flags = f"--remap-path-prefix={self.source}=mqvpn --remap-path-prefix={cargo}=cargo"
        done = subprocess.run(
            command,
            cwd=self.source,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={
                **os.environ,
                "SOURCE_DATE_EPOCH": str(self.epoch),
                "PYTHONHASHSEED": "0",
                "PYTHONPATH": str(self.source),
                "MQVPN_NATIVE": native,
                "RUSTFLAGS": flags,
                **environment,
            },
        )
        return done.stdout

    def pip(self, *arguments: str) -> None:
        """Run pip."""
        self.run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)

    def tool(self, name: str) -> str:
        """Where a program of the release's tools is."""
        return str(TOOLS / name)


def make(release: Release, flatpak: Path | None) -> None:
    """Make all artefacts."""
    release.output.mkdir(parents=True)
    say("source archive")
    make_source_archive(release)
    say("wheels")
    wheel = make_wheels(release)
    say("Debian packages")
    builder = str(release.source / "packaging/debian/build.py")
    release.run(sys.executable, builder, "--wheel", str(wheel), "--output", str(release.output))
    say("archive with the installer of the helper")
    make_helper_archive(release, wheel)
    say("manual pages")
    make_manual(release)
    say("lists of parts")
    make_parts_lists(release, with_flatpak=flatpak is not None)
    if flatpak is not None:
        shutil.copyfile(flatpak, release.output / f"mqvpn-{release.version}.flatpak")
    write_sums(release.output)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive of our own; by tar, because Python before 3.11.4 has no safe way."""
    command = ["tar", "--extract", "--no-same-owner", "--file", str(archive)]
    subprocess.run([*command, "--directory", str(folder)], check=True)


def make_source_archive(release: Release) -> None:
    """Make the sdist; setuptools puts the time of the build into it, so it is packed anew."""
    made = release.scratch / "sdist"
    release.run(release.tool("pyproject-build"), "--sdist", "--outdir", str(made))
    (archive,) = made.glob("*.tar.gz")
    with tempfile.TemporaryDirectory(dir=release.scratch) as name:
        unpack(archive, Path(name))
        (top,) = Path(name).iterdir()
        write_archive(release.output / archive.name, top, release.epoch)


def make_wheels(release: Release) -> Path:
    """Make the pure wheel, and the one for this machine where cargo is; return the better one."""
    release.pip("wheel", "--no-deps", "--wheel-dir", str(release.output), ".")
    (pure,) = release.output.glob("mqvpn-*-none-any.whl")
    if shutil.which("cargo") is None:
        say("  there is no cargo here: no wheel with the native kernel")
        return pure
    native = make_native_wheel(release, platform.machine(), {})
    for machine in CROSS_COMPILERS.keys() - {platform.machine()}:
        target = f"{machine}-unknown-linux-gnu"
        linker = shutil.which(CROSS_COMPILERS[machine])
        if linker is None or target not in _rust_targets():
            compiler = CROSS_COMPILERS[machine]
            say(f"  no wheel for {machine}: that takes rustup target add {target}, and {compiler}")
            continue
        linker_of = f"CARGO_TARGET_{target.upper().replace('-', '_')}_LINKER"
        settings = {
            "CARGO_BUILD_TARGET": target,
            linker_of: linker,
            "PYO3_CROSS": "1",
            "PYO3_CROSS_PYTHON_VERSION": _PYTHON,
            "_PYTHON_HOST_PLATFORM": f"linux-{machine}",
        }
        make_native_wheel(release, machine, settings)
    return native


def make_native_wheel(release: Release, machine: str, settings: Mapping[str, str]) -> Path:
    """Make a wheel with the native kernel.

    Args:
        release: the run.
        machine: what it is for.
        settings: environment of a build for another machine than this.
    """
    made = release.scratch / f"native-{machine}"
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel")
    options = ("--no-deps", "--wheel-dir", str(made), ".")
    release.run(*pip, *options, native="require", **settings)
    (linux,) = made.glob("mqvpn-*.whl")
    # Finds out how old a glibc it runs on, and says so in the name.
    release.run(
        *(release.tool("auditwheel"), "repair", "--wheel-dir", str(release.output), str(linux)),
        PATH=f"{TOOLS}:{os.environ['PATH']}",
    )
    (native,) = release.output.glob(f"mqvpn-*manylinux*{machine}.whl")
    return native


def _rust_targets() -> Sequence[str]:
    if shutil.which("rustup") is None:
        return ()
    command = ["rustup", "target", "list", "--installed"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def make_helper_archive(release: Release, wheel: Path) -> None:
    """Make what a machine without apt installs the helper from."""
    name = f"mqvpn-helper-{release.version}-linux_{platform.machine()}"
    folder = release.scratch / name
    wheels = folder / "wheels"
    lock = str(release.source / "packaging/wheels/core-3.11.txt")
    release.pip("download", "--no-deps", "--require-hashes", "-r", lock, "--dest", str(wheels))
    release.pip("download", "--no-deps", "pip==25.3", "--dest", str(wheels))
    shutil.copy(wheel, wheels)
    installer = folder / "mqvpn-install-helper"
    installer.write_text(_INSTALLER.format(python=_PYTHON), encoding="utf-8")
    installer.chmod(0o755)
    shutil.copy(release.source / "LICENSE", folder)
    write_archive(release.output / f"{name}.tar.gz", folder, release.epoch)


def make_manual(release: Release) -> None:
    """Make the manual pages, for whoever packs mqvpn for another system."""
    folder = release.scratch / f"mqvpn-manual-{release.version}"
    release.run(
        sys.executable, str(release.source / "packaging/man_pages.py"), str(folder), COLUMNS="90"
    )
    write_archive(release.output / f"{folder.name}.tar.gz", folder, release.epoch)


def make_parts_lists(release: Release, *, with_flatpak: bool) -> None:
    """Make the lists of what the packages carry."""
    pyproject = str(release.source / "pyproject.toml")
    for name, locks in {**_LOCKS, **(_LOCKS_OF_FLATPAK if with_flatpak else {})}.items():
        joined = release.scratch / f"{name}.txt"
        texts = ((release.source / "packaging/wheels" / lock).read_text("utf-8") for lock in locks)
        joined.write_text("".join(texts), encoding="utf-8")
        target = release.output / f"mqvpn-{name}-{release.version}.cdx.json"
        options = ("--pyproject", pyproject, "--output-reproducible", "--of", "JSON")
        release.run(
            *(release.tool("cyclonedx-py"), "requirements", *options),
            *("--validate", "-o", str(target), str(joined)),
            PYTHONWARNINGS="ignore",  # requirements do not say who needs whom
        )
    if shutil.which("cargo") is not None:
        script = str(release.source / "packaging/rust_parts.py")
        parts = release.run(sys.executable, script, f"{platform.machine()}-unknown-linux-gnu")
        target = release.output / f"mqvpn-native-{release.version}.cdx.json"
        target.write_text(parts, encoding="utf-8")
        release.run(release.tool("python"), "-c", _VALIDATE, str(target))


def write_archive(target: Path, folder: Path, epoch: int) -> None:
    """Pack a folder so that only its content decides about the bytes."""

    def settle(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = epoch
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in [folder, *sorted(folder.rglob("*"))]:
            name = str(path.relative_to(folder.parent))
            archive.add(path, arcname=name, recursive=False, filter=settle)
    target.write_bytes(gzip.compress(packed.getvalue(), 9, mtime=0))


def write_sums(folder: Path) -> None:
    """Write the sums of all files, as sha256sum reads them."""
    lines = (f"{digest}  {name}\n" for name, digest in sorted(sums_of(folder).items()))
    (folder / SUMS).write_text("".join(lines), encoding="ascii")


def sums_of(folder: Path) -> Mapping[str, str]:
    """Return the sums of all files but the list of sums."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != SUMS
    }


def check(release: Release) -> None:
    """Look whether what was made is sound: names, descriptions, and that it can be installed."""
    subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=release.output, check=True)
    python_files = [*release.output.glob("mqvpn-*.whl"), *release.output.glob("mqvpn-?.*.tar.gz")]
    release.run(release.tool("twine"), "check", "--strict", *map(str, python_files))
    (archive,) = release.output.glob("mqvpn-helper-*.tar.gz")
    with tempfile.TemporaryDirectory(dir=release.scratch) as name:
        unpack(archive, Path(name))
        (folder,) = Path(name).iterdir()
        machine = Path(name) / "machine"
        installer = str(folder / "mqvpn-install-helper")
        release.run(installer, "--root", str(machine), PYTHONPATH="")
        interpreter = str(machine / "usr/lib/mqvpn/bin/python3")
        code = "from mqvpn_core.cli import main; main(['--version'])"
        said = release.run(interpreter, "-I", "-c", code)
        if release.version not in said:
            raise SystemExit(f"the installed mqvpn-core says {said!r}")
        release.run(installer, "--root", str(machine), "--purge", PYTHONPATH="")
        left = [path for path in machine.rglob("*") if not path.is_dir()]
        if left:
            raise SystemExit(f"mqvpn-install-helper --purge leaves {left}")


def differences(first: Path, second: Path) -> Iterable[str]:
    """Return the names of files that are not the same in both."""
    one, other = sums_of(first), sums_of(second)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def say(text: str) -> None:
    """Tell what is being done."""
    sys.stderr.write(f"    {text}\n")


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def _export(commit: str, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    archive = target.with_suffix(".tar")
    _git("archive", f"--output={archive}", commit)
    unpack(archive, target)
    archive.unlink()


def _one_run(commit: str, output: Path, flatpak: Path | None, *, is_checked: bool) -> None:
    shutil.rmtree(output, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="mqvpn-release-") as name:
        source = Path(name) / "source"
        _export(commit, source)
        project = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"]
        release = Release(
            source=source,
            output=output,
            scratch=Path(name),
            version=project["version"],
            epoch=int(_git("log", "-1", "--format=%ct", commit)),
        )
        make(release, flatpak)
        if is_checked:
            say("checks")
            check(release)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a release."""
    parser = argparse.ArgumentParser(prog="./run release", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist/release")
    parser.add_argument("--commit", default="HEAD", help="what to release (default: HEAD)")
    parser.add_argument("--flatpak", type=Path, metavar="FILE", help="bundle of ./run flatpak")
    parser.add_argument("--twice", action="store_true", help="make it twice and compare all bytes")
    options = parser.parse_args(arguments)
    if _git("status", "--porcelain"):
        say("note: what is not committed is not in the release")
    output: Path = options.output.resolve()
    commit = _git("rev-parse", options.commit).strip()
    _one_run(commit, output, options.flatpak, is_checked=True)
    if options.twice:
        say("once more")
        again = output.with_name(f"{output.name}-again")
        _one_run(commit, again, options.flatpak, is_checked=False)
        changed = list(differences(output, again))
        shutil.rmtree(again)
        if changed:
            raise SystemExit(f"not the same bytes: {', '.join(changed)}")
        say("twice the same bytes")
    sys.stdout.write((output / SUMS).read_text(encoding="ascii"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
