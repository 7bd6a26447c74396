"""Flatpak without a remote: a runtime made of Debian packages, and the window built against it.

Everything lies in one folder, about 2 GB: no runtime of the machine or its users is touched. The
runtime stands in for the one that the manifest names; its Python and its libraries are of Debian.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.documents.blocks import blocks

CHECKOUT = Path(__file__).resolve().parents[2]
MANIFEST = CHECKOUT / "packaging/flatpak/org.mqvpn.Client.yml"
APPLICATION = MANIFEST.stem
TOOLS = ("flatpak", "flatpak-builder", "bwrap", "ostree", "mmdebstrap", "dbus-run-session")

# The Debian whose Python is that of the wheels, which are those of the real runtime.
_SUITE = "trixie"
_PLATFORM = "org.mqvpn.TestPlatform"
_SDK = "org.mqvpn.TestSdk"
_PACKAGES = (
    *("bash", "coreutils", "grep", "sed", "gawk", "findutils", "libc-bin", "tar", "gzip", "patch"),
    *("xz-utils", "zstd", "ca-certificates", "python3", "python3-pip", "desktop-file-utils"),
    *("fontconfig", "fonts-dejavu-core", "xkb-data", "hicolor-icon-theme", "adwaita-icon-theme"),
    *("libglib2.0-0t64", "libgl1", "libegl1", "libdbus-1-3", "libxcb-cursor0", "libxcb-icccm4"),
    *("libxcb-keysyms1", "libxcb-image0", "libxcb-randr0", "libxcb-render-util0", "libxcb-shape0"),
    *("libxcb-xinerama0", "libxcb-xkb1", "libxkbcommon-x11-0", "libxkbcommon0"),
    *("libwayland-client0", "libwayland-cursor0", "libwayland-egl1"),
)
_OF_THE_MACHINE = ("group", "hostname", "hosts", "localtime", "machine-id", "passwd", "resolv.conf")
_METADATA = """\
[Runtime]
name={name}
runtime={platform}/{architecture}/1
sdk={sdk}/{architecture}/1

[Environment]
PATH=/app/bin:/usr/bin
"""


@dataclass(frozen=True, slots=True)
class FlatpakLab:
    """The folder. C: `make_runtime`, `build`. A: `installation`, `bundle`."""

    folder: Path

    @property
    def installation(self) -> Path:
        """Where Flatpak keeps what is installed."""
        return self.folder / "installation"

    @property
    def bundle(self) -> Path:
        """The window as one file."""
        return self.folder / f"{APPLICATION}.flatpak"

    def make_runtime(self) -> None:
        """Make the runtime and its SDK; takes two minutes, and nothing when they are there."""
        stamp = self.folder / "runtime"
        wanted = " ".join((_SUITE, *_PACKAGES))
        if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "home").mkdir(parents=True)
        (self.folder / "run").mkdir(mode=0o700)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="root-") as name:
            self._export_runtime(Path(name))
        repository = (self.folder / "repository").as_uri()
        self._flatpak("remote-add", "--if-not-exists", "--no-gpg-verify", "local", repository)
        self._install(f"{_PLATFORM}//1", f"{_SDK}//1")
        stamp.write_text(wanted, encoding="utf-8")

    def build(self) -> None:
        """Build and install the window by the documents' commands, without a network."""
        self.remove()
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="source-") as name:
            source = Path(name) / "mqvpn"
            manifest = copy_source(source)
            manifest.write_text(for_local_runtime(manifest.read_text("utf-8")), encoding="utf-8")
            tools = self._write_tools(Path(name) / "bin")
            self.follow("flatpak-build", cwd=source, PATH=f"{tools}:{os.environ['PATH']}")
        run(
            *("flatpak", "build-bundle", str(self.folder / "repository")),
            *(str(self.bundle), APPLICATION),
            environment=self._environment(),
        )
        run("chmod", "-R", "a+rX", str(self.installation))

    def remove(self) -> None:
        """Uninstall the window of an earlier run, if there is one."""
        if APPLICATION in self._flatpak("list", "--columns=application").split():
            self._flatpak("uninstall", "--noninteractive", APPLICATION)

    def follow(self, name: str, cwd: Path | None = None, **variables: str) -> str:
        """Run the commands of a document.

        Args:
            name: what the document calls them.
            cwd: where.
            variables: of the environment, beside those of the laboratory.
        """
        command = ("dbus-run-session", "--", "sh", "-ec", blocks()[name].text)
        return run(*command, environment={**self._environment(), **variables}, cwd=cwd)

    def _write_tools(self, folder: Path) -> Path:
        """Write a flatpak-builder that keeps what it has made and needs no FUSE, and our Python."""
        repository, state = self.folder / "repository", self.folder / "state"
        builder = (
            f"--disable-updates --disable-rofiles-fuse --repo={repository} --state-dir={state}"
        )
        programs = {
            "flatpak-builder": f"{shutil.which('flatpak-builder')} {builder}",
            "python3": sys.executable,
        }
        folder.mkdir()
        for name, command in programs.items():
            (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (folder / name).chmod(0o755)
        return folder

    def installed_files(self) -> Path:
        """What is /app in the sandbox."""
        command = ("info", "--show-location", APPLICATION)
        return Path(self._flatpak(*command).strip()) / "files"

    def _export_runtime(self, scratch: Path) -> None:
        root = scratch / "root"
        run(
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=extract"),
            *("--include=" + ",".join(_PACKAGES), _SUITE, str(root)),
            *(f"deb {mirror()} {_SUITE} main",),
        )
        (scratch / "platform").mkdir()
        files = scratch / "platform/files"
        (root / "usr").rename(files)
        for name in ("bin", "sbin", "lib", "lib64"):
            old = root / name
            if old.is_dir() and not old.is_symlink():
                shutil.copytree(old, files / name, symlinks=True, dirs_exist_ok=True)
        (root / "etc").rename(files / "etc")
        _make_relocatable(files)
        (scratch / "sdk").mkdir()
        run("cp", "-al", str(files), str(scratch / "sdk/files"))
        architecture = run("flatpak", "--default-arch").strip()
        for directory, name in (("platform", _PLATFORM), ("sdk", _SDK)):
            text = _METADATA.format(
                name=name, platform=_PLATFORM, sdk=_SDK, architecture=architecture
            )
            (scratch / directory / "metadata").write_text(text, encoding="utf-8")
            run(
                *("flatpak", "build-export", "--runtime", "--files=files", "--disable-sandbox"),
                *(str(self.folder / "repository"), str(scratch / directory), "1"),
                environment=self._environment(),
            )

    def _install(self, *references: str) -> None:
        self._flatpak("install", "--noninteractive", "--or-update", "-y", "local", *references)

    def _flatpak(self, command: str, *arguments: str) -> str:
        return run("flatpak", command, "--user", *arguments, environment=self._environment())

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "FLATPAK_USER_DIR": str(self.installation),
            "HOME": str(self.folder / "home"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
        }


def mirror() -> str:
    """Where this machine gets its Debian packages from."""
    listed = run(
        *("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(ORIGIN)"),
        "Created-By: Packages",
    )
    for line in listed.splitlines():
        address, release, origin = (*line.split(" ", 2), "", "")[:3]
        if origin == "Debian" and "-" not in release:
            return address
    raise LookupError("no Debian among the package sources of this machine")


def copy_source(target: Path) -> Path:
    """Copy the checkout, and the wheels if they were fetched once; return the manifest there."""
    copy_checkout(target)
    wheels = MANIFEST.parent / "wheels"
    if wheels.exists():
        shutil.copytree(wheels, target / wheels.relative_to(CHECKOUT))
    return target / MANIFEST.relative_to(CHECKOUT)


def copy_checkout(target: Path) -> None:
    """Copy what git knows or does not ignore."""
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in run(*listing, cwd=CHECKOUT).split("\0"):
        if name and (CHECKOUT / name).is_file():
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, place)


def for_local_runtime(manifest: str) -> str:
    """The same manifest for the runtime made here, whose SDK has no appstream-compose."""
    changes = (
        (r"^runtime: .*$", f"runtime: {_PLATFORM}"),
        (r"^runtime-version: .*$", "runtime-version: '1'"),
        (r"^sdk: .*$", f"sdk: {_SDK}\nappstream-compose: false"),
    )
    for pattern, line in changes:
        manifest, count = re.subn(pattern, line, manifest, flags=re.MULTILINE)
        assert count == 1, pattern
    return manifest


def _make_relocatable(files: Path) -> None:
    """Leave out what belongs to a machine, and turn links out of the runtime into links in it."""
    for name in ("doc", "info", "lintian", "locale", "man"):
        shutil.rmtree(files / "share" / name, ignore_errors=True)
    for pattern in (*_OF_THE_MACHINE, "shadow*", "gshadow*", "*-"):
        for path in (files / "etc").glob(pattern):
            path.unlink()
    for loader in (*files.glob("lib64/ld-linux*"), *files.glob("lib/ld-linux*")):
        target = str(loader.readlink()) if loader.is_symlink() else ""
        if target.startswith("/"):
            loader.unlink()
            loader.symlink_to(f"../{target.lstrip('/').removeprefix('usr/')}")
    for name, target in (("sh", "bash"), ("awk", "gawk")):
        (files / "bin" / name).unlink(missing_ok=True)
        (files / "bin" / name).symlink_to(target)
    # What the package's script would have done, had it been run; pip does not start without.
    authorities = sorted((files / "share/ca-certificates").rglob("*.crt"))
    bundle = files / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes(b"".join(path.read_bytes() for path in authorities))
    run("find", str(files), "-perm", "/6000", "-exec", "chmod", "a-s", "{}", "+")
    run("find", str(files), "(", "-type", "c", "-o", "-type", "b", ")", "-delete")


def run(*command: str, environment: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a program to its end; its output is the message when it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=cwd
    )
    if done.returncode != 0:
        shown = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise RuntimeError(f"{' '.join(command[:6])} ...: exit code {done.returncode}\n{shown}")
    return done.stdout


def obstacles() -> Sequence[str]:
    """Programs that are missing."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]
