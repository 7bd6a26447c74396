"""The list of crates that are linked into the native kernel, in CycloneDX.

    python packaging/rust_parts.py TARGET > mqvpn-native.cdx.json

It comes from ``cargo metadata`` and Cargo.lock. What only runs while the kernel is compiled
(macros, build scripts and what these need) is not in it.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NATIVE = Path(__file__).resolve().parents[1] / "native"
KERNEL = "mqvpn-native"
"""The crate that Python loads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crate:
    """A crate, with those that are linked along with it."""

    id: str
    """How cargo calls it."""
    name: str
    version: str
    license: str
    """As an SPDX expression."""
    is_linked: bool
    """Not a macro, which runs in the compiler."""
    needs: Sequence[str]
    """IDs of crates."""

    @property
    def purl(self) -> str:
        """Its name in the world."""
        return f"pkg:cargo/{self.name}@{self.version.replace('+', '%2B')}"


def crates(metadata: str) -> Mapping[str, Crate]:
    """Read what ``cargo metadata`` says; the crates by their IDs."""
    document = json.loads(metadata)
    needs = {
        node["id"]: [
            each["pkg"]
            for each in node["deps"]
            if any(kind["kind"] is None for kind in each["dep_kinds"])
        ]
        for node in document["resolve"]["nodes"]
    }
    return {
        package["id"]: Crate(
            id=package["id"],
            name=package["name"],
            version=package["version"],
            license=package["license"] or "",
            is_linked=not any("proc-macro" in target["kind"] for target in package["targets"]),
            needs=needs[package["id"]],
        )
        for package in document["packages"]
        if package["id"] in needs
    }


def linked(known: Mapping[str, Crate], name: str) -> Sequence[Crate]:
    """The crate of that name and all that are linked with it, each once, by name."""
    (first,) = (crate for crate in known.values() if crate.name == name)
    found = {first.id: first}
    waiting = [first]
    while waiting:
        for crate in _neighbours(known, waiting.pop()):
            if crate.id not in found:
                found[crate.id] = crate
                waiting.append(crate)
    return sorted(found.values(), key=lambda crate: (crate.name, crate.version))


def _neighbours(known: Mapping[str, Crate], crate: Crate) -> Iterator[Crate]:
    return (known[each] for each in crate.needs if known[each].is_linked)


def parts_list(metadata: str, lock: str) -> str:
    """Return the list as JSON.

    Args:
        metadata: output of ``cargo metadata``.
        lock: text of Cargo.lock, which has the sums.
    """
    known = crates(metadata)
    sums = {
        (package["name"], package["version"]): package.get("checksum")
        for package in tomllib.loads(lock)["package"]
    }
    all_of_them = linked(known, KERNEL)
    of_kernel, *others = sorted(
        (_component(crate, sums[crate.name, crate.version]) for crate in all_of_them),
        key=lambda component: component["name"] != KERNEL,
    )
    return json.dumps(
        {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"component": of_kernel},
            "components": others,
            "dependencies": [
                {
                    "ref": crate.purl,
                    "dependsOn": sorted(each.purl for each in _neighbours(known, crate)),
                }
                for crate in all_of_them
            ],
        },
        indent=2,
    )


def _component(crate: Crate, checksum: str | None) -> dict[str, object]:
    component: dict[str, object] = {
        "type": "library",
        "bom-ref": crate.purl,
        "name": crate.name,
        "version": crate.version,
        "licenses": [{"expression": crate.license}],
        "purl": crate.purl,
    }
    if checksum is not None:  # those of the registry have one
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return component


def main(arguments: Sequence[str]) -> int:
    """Write the list for a target to the standard output."""
    (target,) = arguments
    command = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"]
    metadata = subprocess.run(command, cwd=NATIVE, check=True, capture_output=True, text=True)
    lock = (NATIVE / "Cargo.lock").read_text(encoding="utf-8")
    sys.stdout.write(f"{parts_list(metadata.stdout, lock)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
