"""What makes a release the same bytes each time, and what its installer says."""

import importlib.util
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"packaging_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


release = _load(ROOT / "packaging/release.py")


def _folder(place: Path, mtime: int, mode: int) -> Path:
    folder = place / "mqvpn-1"
    (folder / "wheels").mkdir(parents=True)
    for name in ("b", "a", "wheels/c"):
        (folder / name).write_text(name)
        (folder / name).chmod(mode)
        os.utime(folder / name, (mtime, mtime))
    (folder / "install").write_text("#!/bin/sh\n")
    (folder / "install").chmod(0o700)
    return folder


def test_only_content_decides_about_an_archive(tmp_path: Path) -> None:
    for name, mtime, mode in (("x", 1, 0o600), ("y", 2_000_000_000, 0o666)):
        folder = _folder(tmp_path / name, mtime, mode)
        release.write_archive(tmp_path / f"{name}.tar.gz", folder, 1_750_000_000)
    assert (tmp_path / "x.tar.gz").read_bytes() == (tmp_path / "y.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "x.tar.gz") as archive:
        members = {member.name: member for member in archive}
    assert [*members] == sorted(members)
    assert members["mqvpn-1/install"].mode == 0o755
    assert members["mqvpn-1/a"].mode == 0o644
    assert {member.uid for member in members.values()} == {0}


def test_sums_are_those_that_sha256sum_reads(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    for folder, text in (("one", "x"), ("other", "y")):
        (tmp_path / folder / "same").write_text("same")
        (tmp_path / folder / "not").write_text(text)
    release.write_sums(tmp_path / "one")
    command = ["sha256sum", "--check", "--strict", "--quiet", release.SUMS]
    subprocess.run(command, cwd=tmp_path / "one", check=True)
    (tmp_path / "other/more").write_text("")
    assert release.differences(tmp_path / "one", tmp_path / "other") == ["more", "not"]


def test_tools_are_pinned() -> None:
    text = (ROOT / "packaging/release-tools.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines
    assert all("==" in line for line in lines)
    named = {line.partition("==")[0] for line in lines}
    assert {"auditwheel", "build", "cyclonedx-bom", "twine"} <= named
