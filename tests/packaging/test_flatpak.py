"""The Flatpak asks for no more than it needs, and what it carries is enough to run."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from mqvpn_gui.user.names import APPLICATION_ID
from mqvpn_helper.interface.bus_names import BUS_NAME

ROOT = Path(__file__).resolve().parents[2]
FLATPAK = ROOT / "packaging/flatpak"
MANIFEST = (FLATPAK / f"{APPLICATION_ID}.yml").read_text(encoding="utf-8")
LOCK = "flatpak-3.13.txt"

# No network, no files, no whole bus: the helper does what needs them, and asks polkit.
NEEDED = {
    "--share=ipc",
    "--socket=wayland",
    "--socket=fallback-x11",
    "--device=dri",
    "--talk-name=org.freedesktop.secrets",
    "--talk-name=org.freedesktop.Notifications",
    "--talk-name=org.kde.StatusNotifierWatcher",
    f"--system-talk-name={BUS_NAME}",
    "--system-talk-name=org.freedesktop.NetworkManager",
}


def _items(key: str) -> list[str]:
    block = re.search(rf"^{key}:\n((?: +.*\n|#.*\n)+)", MANIFEST, re.MULTILINE)
    assert block is not None
    return re.findall(r"^  - (\S.*)$", block[1], re.MULTILINE)


def test_permissions_are_the_least() -> None:
    assert sorted(_items("finish-args")) == sorted(NEEDED)
    assert "--share" not in MANIFEST.replace("--share=ipc", "")


# flatpak-builder reads past keys that it does not know, also misspelt ones.
_OF_THE_MANIFEST = {
    *("id", "runtime", "runtime-version", "sdk", "command", "finish-args", "build-options"),
    *("cleanup", "modules"),
}
_OF_A_MODULE = {"name", "buildsystem", "build-commands", "sources"}
_OF_SOURCES = {"dir": {"type", "path", "skip"}, "file": {"type", "path"}}
_FETCHED = FLATPAK / "wheels"


def test_the_manifest_has_no_key_that_would_be_ignored() -> None:
    code = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=MANIFEST, capture_output=True, text=True, check=True)
    manifest = json.loads(done.stdout)
    assert manifest.keys() == _OF_THE_MANIFEST
    assert isinstance(manifest["runtime-version"], str)  # a number would lose its last zero
    assert manifest["build-options"].keys() == {"no-debuginfo", "strip", "env"}
    assert all(pattern.startswith("/") for pattern in manifest["cleanup"])
    for module in manifest["modules"]:
        assert module.keys() == _OF_A_MODULE
        assert module["buildsystem"] == "simple"
        for source in module["sources"]:
            assert source.keys() <= _OF_SOURCES[source["type"]]
            place = FLATPAK / source["path"]
            assert place.exists() or place == _FETCHED, place


def test_names_agree() -> None:
    assert f"\nid: {APPLICATION_ID}\n" in MANIFEST
    assert "\ncommand: mqvpn-gui\n" in MANIFEST


def test_everything_that_is_installed_is_there() -> None:
    named = re.findall(r"- install -Dm\d+ (\S+) ", MANIFEST)
    assert len(named) == 6
    assert [name for name in named if not (ROOT / name).is_file()] == []
    resources = {
        str(path.relative_to(ROOT)) for path in ROOT.glob(f"resources/**/{APPLICATION_ID}*")
    }
    assert resources <= set(named)


def test_wheels_are_those_of_the_lock() -> None:
    assert f"--require-hashes --target=/app/lib/mqvpn --requirement={LOCK}" in MANIFEST
    assert f"path: ../wheels/{LOCK}" in MANIFEST
    assert "--no-index" in MANIFEST
    assert f'"wheels" / "{LOCK}"' in (FLATPAK / "fetch_wheels.py").read_text(encoding="utf-8")


@pytest.mark.slow
def test_window_and_command_need_no_more_than_is_in_the_sandbox(tmp_path: Path) -> None:
    copied = re.findall(r"- cp -r (.+) /app/lib/mqvpn/(\S*)", MANIFEST)
    assert [target for _, target in copied] == ["", "mqvpn_helper/"]
    for names, target in copied:
        for name in names.split():
            source, place = ROOT / name, tmp_path / target / Path(name).name
            place.parent.mkdir(exist_ok=True)
            shutil.copytree(source, place) if source.is_dir() else shutil.copy(source, place)
    allowed = (ROOT / "packaging/wheels" / LOCK).read_text(encoding="utf-8")
    assert "trio" not in allowed
    code = (
        "import sys\n"
        f"sys.path[:0] = [{str(tmp_path)!r}, {sysconfig.get_path('purelib')!r}]\n"
        "import mqvpn_gui.app.main, mqvpn_gui.command.__main__\n"
        "ours = sorted(n for n in sys.modules if n.startswith(('mqvpn_core', 'mqvpn_helper.')))\n"
        "bad = [n for n in ours if not n.startswith('mqvpn_helper.interface')]\n"
        "sys.exit(f'{bad}' if bad or {'trio', 'aioquic', 'pyroute2'} & set(sys.modules) else 0)"
    )
    # Without the start files of the environment, one of which would lead to this checkout.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert done.returncode == 0, done.stderr
