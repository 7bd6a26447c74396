"""What makes a release the same bytes each time, and what its installer says."""

import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.packaging.scripts import ROOT, load

release = load("release.py")
rust_parts = load("rust_parts.py")


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


def _package(name: str, kind: str = "lib") -> Mapping[str, object]:
    return {
        "id": f"id-{name}",
        "name": name,
        "version": "1.0",
        "license": "MIT",
        "targets": [{"kind": [kind]}],
    }


def _node(name: str, **needs: str | None) -> Mapping[str, object]:
    deps = [{"pkg": f"id-{each}", "dep_kinds": [{"kind": kind}]} for each, kind in needs.items()]
    return {"id": f"id-{name}", "deps": deps}


def test_crates_that_are_linked_are_in_the_list_and_no_others() -> None:
    names = ["mqvpn-native", "linked", "deep", "builder", "tester", "of_macro", "elsewhere"]
    nodes = [
        _node("mqvpn-native", linked=None, builder="build", tester="dev", macro=None),
        _node("linked", deep=None),
        _node("macro", of_macro=None),
        *(_node(name) for name in ("deep", "builder", "tester", "of_macro")),
    ]
    packages = [*map(_package, names), _package("macro", "proc-macro")]
    metadata = json.dumps({"packages": packages, "resolve": {"nodes": nodes}})
    lock = "".join(
        f'[[package]]\nname = "{name}"\nversion = "1.0"\nchecksum = "{name}"\n'
        for name in [*names, "macro"]
    )
    listed = json.loads(rust_parts.parts_list(metadata, lock))
    assert listed["metadata"]["component"]["name"] == "mqvpn-native"
    found = {each["purl"]: each["hashes"][0]["content"] for each in listed["components"]}
    assert found == {"pkg:cargo/deep@1.0": "deep", "pkg:cargo/linked@1.0": "linked"}
    needs = {each["ref"]: each["dependsOn"] for each in listed["dependencies"]}
    assert needs["pkg:cargo/linked@1.0"] == ["pkg:cargo/deep@1.0"]
    assert needs["pkg:cargo/mqvpn-native@1.0"] == ["pkg:cargo/linked@1.0"]
