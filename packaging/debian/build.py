"""Builds the Debian packages mqvpn-core and mqvpn-gui for the Python of this machine's Debian.

    python packaging/debian/build.py [--output DIRECTORY] [--only core]

Needs dpkg-deb and pip. What Debian does not have in the versions that mqvpn needs (aioquic, trio,
PySide6) lives in a private virtual environment, /usr/lib/mqvpn: nothing else on the machine sees
it, ``sys.executable`` of each of our programs is its own Python, and being below /usr it is root's
and read-only under ``ProtectSystem=strict``. Its wheels are pinned by hash in packaging/wheels.

The same checkout and the same SOURCE_DATE_EPOCH (by default that of the last commit) give the same
bytes.
"""

import argparse
import compileall
import gzip
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

import man_pages  # noqa: E402 - a neighbour

from mqvpn_helper.installing.machine_files import MACHINE_FILES  # noqa: E402

SHORT = f"{sys.version_info.major}.{sys.version_info.minor}"
PRIVATE = Path("usr/lib/mqvpn")
SITE = PRIVATE / f"lib/python{SHORT}/site-packages"

CORE_FILES = MACHINE_FILES

GUI_FILES: Mapping[str, str] = {
    "org.mqvpn.Client.desktop": "usr/share/applications",
    "org.mqvpn.Client.metainfo.xml": "usr/share/metainfo",
    "icons/hicolor/scalable/apps/org.mqvpn.Client.svg": "usr/share/icons/hicolor/scalable/apps",
    "icons/hicolor/symbolic/apps/org.mqvpn.Client-symbolic.svg": (
        "usr/share/icons/hicolor/symbolic/apps"
    ),
}

COMPLETIONS: Mapping[str, str] = {
    "bash": "usr/share/bash-completion/completions/mqvpn",
    "zsh": "usr/share/zsh/vendor-completions/_mqvpn",
    "fish": "usr/share/fish/vendor_completions.d/mqvpn.fish",
}

CORE_PROGRAMS: Mapping[str, str] = {
    "mqvpn": "from mqvpn_gui.command.__main__ import run as main",
    "mqvpn-core": "from mqvpn_core.cli import main",
    "mqvpn-helper": "from mqvpn_helper.service.main import main",
}
GUI_PROGRAMS: Mapping[str, str] = {"mqvpn-gui": "from mqvpn_gui.app.main import main"}

_DOCUMENTS = ("README.md", "docs/*.md", "docs/pictures/*")
# Of Qt: what only developers, QML and databases need.
UNUSED_QT = (
    "Qt/qml",
    "Qt/metatypes",
    "Qt/lib/libQt6Designer*",
    "Qt/lib/libQt6Labs*",
    "Qt/lib/libQt6Qml*",
    "Qt/lib/libQt6Quick*",
    "Qt/lib/libQt6Sql*",
    "Qt/lib/libQt6Test*",
    "Qt/libexec",
    "Qt/plugins/designer",
    "Qt/plugins/qmllint",
    "Qt/plugins/qmlls",
    "Qt/plugins/qmltooling",
    "Qt/plugins/sqldrivers",
    "QtDesigner*",
    "QtHelp*",
    "QtQml*",
    "QtQuick*",
    "QtSql*",
    "QtTest*",
    "*.pyi",
    "assistant",
    "balsam*",
    "designer",
    "doc",
    "glue",
    "include",
    "libpyside6qml*",
    "linguist",
    "lrelease",
    "lupdate",
    "qmlformat",
    "qmllint",
    "qmlls",
    "qsb",
    "scripts",
    "svgtoqml",
    "typesystems",
)
_PROGRAM = """\
#!/{python} -I
import sys

{line}

if __name__ == "__main__":
    sys.exit(main())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What is the same for all packages of one run."""

    version: str
    """Of mqvpn."""
    epoch: int
    """Time of every file, in seconds since 1970."""
    scratch: Path
    """Where to work."""
    output: Path
    """Where the packages go."""
    wheel: Path
    """mqvpn itself."""

    def pip(self, *arguments: str) -> None:
        """Run pip."""
        command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, *arguments], check=True, cwd=ROOT)


def build_core(build: Build) -> Path:
    """Build mqvpn-core; return the package."""
    tree = build.scratch / "mqvpn-core"
    _make_environment(tree)
    install_locked(build, "core", tree / SITE)
    _drop_programs(tree / SITE)
    target = str(tree / SITE)
    build.pip("install", "--no-deps", "--no-compile", "--target", target, str(build.wheel))
    _drop_programs(tree / SITE)
    _drop_origins(tree / SITE)
    _place(tree, CORE_FILES)
    _write_programs(tree, CORE_PROGRAMS)
    for shell, path in COMPLETIONS.items():
        _write(tree / path, _completion(shell), 0o644)
    (tree / "etc/mqvpn").mkdir(parents=True)
    _write_documents(build, tree, "mqvpn-core")
    return _pack(build, "mqvpn-core", tree)


def build_gui(build: Build) -> Path:
    """Build mqvpn-gui, which adds Qt to the environment of mqvpn-core; return the package."""
    tree = build.scratch / "mqvpn-gui"
    (tree / SITE).mkdir(parents=True)
    install_locked(build, "gui", tree / SITE)
    _drop_programs(tree / SITE)
    for pattern in UNUSED_QT:
        for path in (tree / SITE / "PySide6").glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _drop_origins(tree / SITE)
    _place(tree, GUI_FILES)
    _write_programs(tree, GUI_PROGRAMS)
    _write_documents(build, tree, "mqvpn-gui")
    return _pack(build, "mqvpn-gui", tree)


def install_locked(build: Build, lock: str, target: Path) -> None:
    """Install the wheels of a lock into a folder."""
    file = ROOT / "packaging" / "wheels" / f"{lock}-{SHORT}.txt"
    if not file.exists():
        raise SystemExit(
            f"there is no {file.relative_to(ROOT)}: add Python {SHORT} to packaging/lock_wheels.py"
        )
    options = ("--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes")
    build.pip("install", *options, "--target", str(target), "--requirement", str(file))


def _make_environment(tree: Path) -> None:
    """Make a virtual environment by hand: what venv writes besides names the build machine."""
    settings = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {SHORT}\n"
    _write(tree / PRIVATE / "pyvenv.cfg", settings, 0o644)
    interpreter = tree / PRIVATE / "bin/python3"
    interpreter.parent.mkdir()
    interpreter.symlink_to(f"/usr/bin/python{SHORT}")


def _drop_programs(site: Path) -> None:
    """Remove what pip lays beside modules when it is told a folder: programs, manuals, units."""
    for name in ("bin", "share"):
        shutil.rmtree(site / name, ignore_errors=True)


def _drop_origins(site: Path) -> None:
    """Remove what tells where the wheel of mqvpn lay, and how."""
    for file in site.glob("*.dist-info/direct_url.json"):
        file.unlink()
        record = file.with_name("RECORD")
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if "direct_url.json" not in line), "utf-8")


def _place(tree: Path, files: Mapping[str, str]) -> None:
    for name, place in files.items():
        target = tree / place
        if not target.suffix or target.name.endswith(".d"):
            target /= Path(name).name
        _write(target, (ROOT / "resources" / name).read_text(encoding="utf-8"), 0o644)


def _write_programs(tree: Path, programs: Mapping[str, str]) -> None:
    for name, line in programs.items():
        text = _PROGRAM.format(python=PRIVATE / "bin/python3", line=line)
        _write(tree / "usr/bin" / name, text, 0o755)


def _write_documents(build: Build, tree: Path, package: str) -> None:
    documents = tree / "usr/share/doc" / package
    _write(documents / "copyright", (HERE / "copyright").read_text(encoding="utf-8"), 0o644)
    _write_compressed(documents / "changelog.gz", (ROOT / "CHANGELOG.md").read_bytes())
    if package == "mqvpn-core":
        for path in _documents():
            target = documents / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    programs = {path.name for path in (tree / "usr/bin").iterdir()}
    date = time.strftime("%Y-%m-%d", time.gmtime(build.epoch))
    for page in man_pages.write_pages(build.scratch / "man", build.version, date):
        if page.stem in programs:
            place = tree / "usr/share/man" / page.parent.name / f"{page.name}.gz"
            _write_compressed(place, page.read_bytes())


def _documents() -> Iterable[Path]:
    for pattern in _DOCUMENTS:
        yield from sorted(ROOT.glob(pattern))


def _completion(shell: str) -> str:
    command = [sys.executable, "-m", "mqvpn_gui.command", "completions", shell]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def _pack(build: Build, package: str, tree: Path) -> Path:
    _compile(tree)
    _settle(build, tree)
    control = tree / "DEBIAN"
    control.mkdir(mode=0o755)
    architecture = _output("dpkg", "--print-architecture").strip()
    size = sum(path.lstat().st_size for path in tree.rglob("*")) // 1024
    for source in sorted((HERE / package).iterdir()):
        text = source.read_text(encoding="utf-8")
        for word, value in (
            ("@VERSION@", build.version),
            ("@ARCHITECTURE@", architecture),
            ("@MAINTAINER@", maintainer()),
            ("@PYTHON@", f"python{SHORT}"),
        ):
            text = text.replace(word, value)
        if source.name == "control":
            text = text.replace("Section:", f"Installed-Size: {size}\nSection:")
        _write(control / source.name, text, 0o644 if source.name == "control" else 0o755)
    target = build.output / f"{package}_{build.version}_{architecture}.deb"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(build.epoch)}
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "-z3", "--build", str(tree), str(target)],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    return target


def maintainer() -> str:
    """Who answers for the packages: whoever builds them, by the names that Debian's tools use."""
    name = os.environ.get("DEBFULLNAME", "who built this package")
    return f"{name} <{os.environ.get('DEBEMAIL', 'root@localhost')}>"


def _compile(tree: Path) -> None:
    """Ship the bytecode: nobody but dpkg may write below /usr/lib/mqvpn, and nothing is left."""
    site = tree / SITE
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(
        str(site), quiet=2, stripdir=str(tree), prependdir="/", invalidation_mode=mode
    ):
        sys.stderr.write("note: a file of a dependency is no Python of this version\n")


def _settle(build: Build, tree: Path) -> None:
    """Give everything the modes and the time that it has in the package."""
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            is_open = path.is_dir() or path.parent.name == "bin"
            path.chmod(0o755 if is_open else 0o644)
        os.utime(path, (build.epoch, build.epoch), follow_symlinks=False)


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _write_compressed(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 9, mtime=0))


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def _epoch() -> int:
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or _output("git", "log", "-1", "--format=%ct"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the packages."""
    parser = argparse.ArgumentParser(prog="./run packages", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="(default: dist)")
    parser.add_argument("--only", choices=("core", "gui"), help="one of the packages")
    parser.add_argument("--wheel", type=Path, help="mqvpn, built already (default: build it)")
    parser.add_argument("--version", help="of the packages (default: that of mqvpn)")
    options = parser.parse_args(arguments)
    if not Path(f"/usr/bin/python{SHORT}").exists():
        parser.error(f"this is Python {SHORT}, and the system has none: use the system's Python")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    epoch = _epoch()
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="mqvpn-packages-") as name:
        wheel = options.wheel or _build_wheel(Path(name))
        build = Build(
            version=options.version or project["version"],
            epoch=epoch,
            scratch=Path(name),
            output=output,
            wheel=wheel.resolve(),
        )
        builders = {"core": build_core, "gui": build_gui}
        for which in [options.only] if options.only else builders:
            sys.stdout.write(f"{builders[which](build)}\n")
    return 0


def _build_wheel(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
    options = ["--no-deps", "--wheel-dir", str(scratch / "wheel")]
    subprocess.run([*command, *options, "."], check=True, cwd=_export(scratch / "source"))
    (wheel,) = (scratch / "wheel").glob("mqvpn-*.whl")
    return wheel


def _export(target: Path) -> Path:
    """Copy what git knows: a wheel made in place would also take what earlier builds left."""
    if not (ROOT / ".git").exists():
        return ROOT
    for name in _output("git", "ls-files", "-z").split("\0"):
        source = ROOT / name
        if name and source.is_file():
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)
    return target


if __name__ == "__main__":
    sys.exit(main())
