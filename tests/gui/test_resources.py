"""Files for the desktop agree with the program, and pass the tools that shops check them with."""

import configparser
import os
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PySide6.QtGui import QIcon

from mqvpn_gui.user.names import APPLICATION_ID
from mqvpn_helper.interface.invite_link import SCHEME
from tests.gui.screenshots import CAPTIONS, metainfo_with

RESOURCES = Path(__file__).parents[2] / "resources"
ENTRY = RESOURCES / f"{APPLICATION_ID}.desktop"
METAINFO = RESOURCES / f"{APPLICATION_ID}.metainfo.xml"
ICONS = (
    RESOURCES / f"icons/hicolor/scalable/apps/{APPLICATION_ID}.svg",
    RESOURCES / f"icons/hicolor/symbolic/apps/{APPLICATION_ID}-symbolic.svg",
)


def run(*command: str) -> None:
    if shutil.which(command[0]) is None:
        if os.environ.get("MQVPN_E2E") == "require":
            pytest.fail(f"{command[0]} is not installed", pytrace=False)
        pytest.skip(f"needs {command[0]}")
    done = subprocess.run(  # noqa: S603 - tools of the system
        command, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_desktop_entry_is_valid_and_opens_links() -> None:
    run("desktop-file-validate", str(ENTRY))
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ENTRY)
    entry = parser["Desktop Entry"]
    assert entry["Icon"] == APPLICATION_ID
    assert f"x-scheme-handler/{SCHEME}" in entry["MimeType"].split(";")
    assert entry["Exec"].split()[0] == "mqvpn-gui"


def test_metainfo_with_pictures_is_valid(tmp_path: Path) -> None:
    names = [f"{name}.png" for name in CAPTIONS]
    written = tmp_path / METAINFO.name
    written.write_text(metainfo_with("https://example.org/pictures/", names), encoding="utf-8")
    run("appstreamcli", "validate", "--no-net", str(written))
    assert written.read_text().count("https://example.org/pictures/tunnel-") == 2


def test_metainfo_is_valid_and_names_the_entry() -> None:
    run("appstreamcli", "validate", "--no-net", str(METAINFO))
    root = ET.parse(METAINFO).getroot()  # noqa: S314 - a file of ours
    assert root.findtext("id") == APPLICATION_ID
    assert root.findtext("launchable") == ENTRY.name


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize("path", ICONS, ids=lambda path: path.stem)
def test_icons_can_be_drawn(path: Path) -> None:
    picture = QIcon(str(path)).pixmap(64, 64)
    assert not picture.isNull()
    image = picture.toImage()
    colours = {image.pixel(x, y) for x in range(0, 64, 4) for y in range(0, 64, 4)}
    assert len(colours) > 1
