"""``mqvpn-install-helper`` below a folder that stands for a machine, from packages made up here."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mqvpn_helper.installing.environment import needed_distributions
from mqvpn_helper.installing.errors import InstallError
from mqvpn_helper.installing.machine import Machine
from mqvpn_helper.installing.machine_files import MACHINE_FILES, PROGRAMS
from mqvpn_helper.installing.main import EXIT_REFUSED, main
from mqvpn_helper.installing.services import USERS, Services

SHORT = f"{sys.version_info.major}.{sys.version_info.minor}"

needs_system_python = pytest.mark.skipif(
    not Path(f"/usr/bin/python{SHORT}").exists(), reason=f"the system has no Python {SHORT}"
)


def put(site: Path, name: str, files: Sequence[str], requires: Sequence[str] = ()) -> None:
    """Install a package in a folder as pip does."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = [f"Requires-Dist: {each}\n" for each in requires]
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    (info / "METADATA").write_text(head + "".join(lines))
    for file in files:
        path = site / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("VALUE = 7\n")
    listed = [*files, f"{info.name}/METADATA", f"{info.name}/RECORD"]
    (info / "RECORD").write_text("".join(f"{each},,\n" for each in listed))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What pip has installed for a user."""
    folder = tmp_path / "home/lib/site-packages"
    requires = [
        "needed>=1",
        "absent; python_version < '3'",
        "jeepney>=0.9; extra == 'helper'",
        "big; extra == 'gui'",
    ]
    put(folder, "mqvpn", ["mqvpn_core/cli.py", "../../bin/mqvpn"], requires)
    put(folder, "needed", ["needed/__init__.py", "needed/__pycache__/x.pyc"], ["Un_der.score"])
    put(folder, "un_der_score", ["under.py"])
    put(folder, "jeepney", ["jeepney.py"])
    put(folder, "big", ["big.py"])
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "machine/usr/bin").mkdir(parents=True)
    (tmp_path / "machine/usr/bin/other").write_text("")
    return Machine(tmp_path / "machine")


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.usefixtures("site")
def test_it_takes_what_the_helper_needs_and_no_more() -> None:
    names = [each.metadata["Name"] for each in needed_distributions()]
    assert names == ["jeepney", "mqvpn", "needed", "un_der_score"]


@needs_system_python
@pytest.mark.usefixtures("site")
def test_installing_and_removing(machine: Machine) -> None:
    machine.install()
    machine.install()  # as an update
    root = machine.root
    there = files_below(root)
    assert {*MACHINE_FILES.values(), *(f"usr/bin/{name}" for name in PROGRAMS)} <= there
    modules = f"usr/lib/mqvpn/lib/python{SHORT}/site-packages"
    assert f"{modules}/mqvpn_core/cli.py" in there
    assert f"{modules}/needed/__pycache__/x.pyc" not in there
    assert not any("bin/mqvpn" in name and name.endswith("bin/mqvpn") for name in there)
    assert [each.name for each in (root / "usr/lib").glob("mqvpn*")] == ["mqvpn"]
    assert (root / "usr/lib/mqvpn/bin/python3").readlink() == Path(f"/usr/bin/python{SHORT}")
    code = "import sys, needed, jeepney; print(sys.prefix, needed.VALUE)"
    interpreter = str(root / "usr/lib/mqvpn/bin/python3")
    said = subprocess.run([interpreter, "-I", "-c", code], capture_output=True, check=True).stdout
    assert said.decode() == f"{root}/usr/lib/mqvpn 7\n"
    for path in root.rglob("*"):
        assert path.is_symlink() or not path.stat().st_mode & 0o022, path
    machine.remove()
    assert files_below(root) == {"usr/bin/other"}


@needs_system_python
def test_no_link_of_a_user_is_followed(site: Path, machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    target = machine.root / "usr/bin/mqvpn-helper"
    target.symlink_to(tmp_path / "precious")
    (site / "under.py").unlink()
    (site / "under.py").symlink_to(site / "jeepney.py")
    machine.install()
    assert (tmp_path / "precious").read_text() == "mine"
    assert not target.is_symlink()
    modules = machine.root / f"usr/lib/mqvpn/lib/python{SHORT}/site-packages"
    assert not (modules / "under.py").is_symlink()


@pytest.mark.usefixtures("site")
def test_a_package_is_left_alone(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    place = machine.root / "usr/lib/mqvpn"
    place.mkdir(parents=True)
    (place / "of-the-package").write_text("")
    for options in ([], ["--remove"], ["--purge"]):
        assert main(["--root", str(machine.root), *options]) == EXIT_REFUSED
        assert "belongs to a package" in capsys.readouterr().err
    assert files_below(place) == {"of-the-package"}


def test_removing_what_is_not_there_is_refused(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(machine.root), "--remove"]) == EXIT_REFUSED
    assert "nothing is installed" in capsys.readouterr().err


def test_purging_takes_what_users_have_written(site: Path, machine: Machine) -> None:
    assert site.exists()
    for name in ("etc/mqvpn/server.key", "var/lib/mqvpn-server/leases.json"):
        (machine.root / name).parent.mkdir(parents=True)
        (machine.root / name).write_text("")
    machine.purge()
    assert files_below(machine.root) == {"usr/bin/other"}


def test_without_the_extra_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "mqvpn", ["mqvpn_core/cli.py"])
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InstallError, match=r"mqvpn\[helper\]"):
        needed_distributions()


def test_a_checkout_is_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "mqvpn", ["__editable___mqvpn_finder.py"], ["jeepney"])
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InstallError, match="editable"):
        needed_distributions()


def test_the_system_is_told() -> None:
    said: list[Sequence[str]] = []
    services = Services(
        said.append, has_systemd=lambda: True, has_user=lambda name: name == "mqvpn"
    )
    services.begin()
    assert [each[-1] for each in said if each[0] == "useradd"] == ["mqvpn-server"]
    assert ["systemctl", "daemon-reload"] in said
    said.clear()
    services.end()
    programs = [each[:3] for each in said if each[0] != "systemctl"]
    assert programs == [["/usr/bin/mqvpn-core", "recover", "--stop"]]
    stopped = [each[2:] for each in said if each[:2] == ["systemctl", "stop"]]
    # The kill switch last: until everything is taken back, nothing may get past it.
    assert stopped[-1] == ["mqvpn-killswitch.service"]
    assert "mqvpn-helper.service" in stopped[0]
    said.clear()
    services.forget(purge=False)
    assert not [each for each in said if each[0] == "userdel"]
    services.forget(purge=True)
    assert [each[-1] for each in said if each[0] == "userdel"] == ["mqvpn"]
    assert set(USERS) == {"mqvpn", "mqvpn-server"}
