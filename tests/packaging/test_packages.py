"""What goes into the packages, read without building them."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mqvpn_gui.user.helper_install import PACKAGE, install_command
from tests.documents.programs import man_pages
from tests.packaging.scripts import ROOT, load

DEBIAN = ROOT / "packaging/debian"
PACKAGES = sorted(path.parent for path in DEBIAN.glob("*/control"))
SCRIPTS = sorted(path for path in DEBIAN.glob("*/*") if path.name != "control")


build = load("debian/build.py")
lock_wheels = load("lock_wheels.py")


def test_every_file_of_the_system_is_in_one_package() -> None:
    resources = ROOT / "resources"
    there = {str(path.relative_to(resources)) for path in resources.rglob("*") if path.is_file()}
    assert build.CORE_FILES.keys() & build.GUI_FILES.keys() == set()
    assert build.CORE_FILES.keys() | build.GUI_FILES.keys() == there


def test_what_units_and_bus_start_is_in_the_package() -> None:
    for name in build.CORE_FILES:
        text = (ROOT / "resources" / name).read_text(encoding="utf-8")
        for program in re.findall(r"^Exec(?:Start)?=/usr/bin/(mqvpn\S*)", text, re.MULTILINE):
            assert program in build.CORE_PROGRAMS, name
    entry = (ROOT / "resources/org.mqvpn.Client.desktop").read_text(encoding="utf-8")
    assert set(re.findall(r"^Exec=(\S+)", entry, re.MULTILINE)) == set(build.GUI_PROGRAMS)


def test_each_program_has_a_manual_page() -> None:
    programs = {program.name for program in man_pages.PROGRAMS}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert programs == {*project["scripts"], *project["gui-scripts"]}
    assert programs >= {*build.CORE_PROGRAMS, *build.GUI_PROGRAMS}


def test_a_manual_page_has_every_command() -> None:
    pages = {each.name: man_pages.page(each, "1.2", "2026-01-02") for each in man_pages.PROGRAMS}
    core = pages["mqvpn-core"].splitlines()
    assert core[0] == '.TH "MQVPN-CORE" "8" "2026-01-02" "mqvpn 1.2" "mqvpn"'
    assert {'.SH "SERVER INIT"', '.SH "USER"', '.SH "CHECK-CONFIG"'} <= set(core)
    assert '.SH "PROFILE IMPORT"' in pages["mqvpn"].splitlines()
    assert "the command mqvpn does the same." in pages["mqvpn-gui"].splitlines()


def test_the_programs_say_which_package_to_install() -> None:
    assert PACKAGE in {path.name for path in PACKAGES}
    assert install_command("ID=debian\n") == f"sudo apt install ./{PACKAGE}_*.deb"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_maintainer_scripts_are_sound(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/sh\nset -e\n")
    subprocess.run(["sh", "-n", str(path)], check=True)


@pytest.mark.parametrize("name", sorted(lock_wheels.LOCKS))
def test_locks_follow_pyproject(name: str) -> None:
    lock = lock_wheels.LOCKS[name]
    text = lock_wheels.path_of(lock).read_text(encoding="utf-8")
    wanted = lock_wheels.requirements_of(lock)
    assert lock_wheels.sources_of(text) == wanted, "python packaging/lock_wheels.py makes it anew"
    below = lock_wheels.path_of(lock_wheels.LOCKS[lock.besides]).read_text() if lock.besides else ""
    pins = {
        canonicalize_name(key): version
        for key, version in {
            **lock_wheels.pins_of(below),
            **lock_wheels.pins_of(text),
        }.items()
    }
    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate():
            assert pins[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("name", sorted(lock_wheels.LOCKS))
def test_every_wheel_has_a_hash(name: str) -> None:
    text = lock_wheels.path_of(lock_wheels.LOCKS[name]).read_text(encoding="utf-8")
    entries = re.split(r"^(?=[A-Za-z])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(lock_wheels.pins_of(text))
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
