"""Pictures for software centres, and the description that names them.

``python -m tests.gui.screenshots DIR --address URL`` writes the pictures, and the metainfo with
them in it: whoever publishes the program puts the pictures at that address and the metainfo into
the package. The one in ``resources`` has none, for it cannot know where that will be.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

from mqvpn_gui.user.names import APPLICATION_ID
from tests.gui.photographs import take

METAINFO = Path(__file__).parents[2] / "resources" / f"{APPLICATION_ID}.metainfo.xml"
CAPTIONS = {
    "tunnel-up-light-760": "Two links carry traffic, each with its delay, loss and share",
    "tunnel-degraded-dark-760": "A link is lost, and the other one goes on",
    "servers-light-760": "Servers, each added with a link or a QR code",
    "diagnostics-light-760": "What does not work is found and said in words",
}
"""Pictures, the first of them the most important one, and what is below each."""


def metainfo_with(address: str, names: list[str]) -> str:
    """Return the metainfo with pictures.

    Args:
        address: URL of the folder that they are in.
        names: their files, in the order of the captions.
    """
    tree = ET.parse(METAINFO)  # noqa: S314 - a file of ours
    root = tree.getroot()
    screenshots = ET.Element("screenshots")
    for number, (name, caption) in enumerate(zip(names, CAPTIONS.values(), strict=True)):
        kind = {"type": "default"} if number == 0 else {}
        each = ET.SubElement(screenshots, "screenshot", kind)
        ET.SubElement(each, "caption").text = caption
        ET.SubElement(each, "image", {"type": "source"}).text = f"{address.rstrip('/')}/{name}"
    place = next(index for index, each in enumerate(root) if each.tag == "launchable")
    root.insert(place, screenshots)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def write(folder: Path, address: str) -> list[str]:
    """Write pictures and metainfo; return the pictures' names."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        take(Path(scratch), "1.5x")
        for name in CAPTIONS:
            shutil.copy(Path(scratch) / f"{name}-1.5x.png", folder / f"{name}.png")
    names = [f"{name}.png" for name in CAPTIONS]
    text = metainfo_with(address, names)
    (folder / METAINFO.name).write_text(text, encoding="utf-8")
    return names


def main() -> int:
    """Write them."""
    parser = argparse.ArgumentParser(prog="python -m tests.gui.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--address", required=True, metavar="URL", help="where they will be")
    options = parser.parse_args()
    names = write(options.folder, options.address)
    sys.stdout.write(f"{len(names)} pictures and {METAINFO.name} in {options.folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
