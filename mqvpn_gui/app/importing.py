"""A server from whatever the user has: a link, a file, a picture of a QR code. Runs in a worker."""

from dataclasses import dataclass
from pathlib import Path

import zxingcpp
from PySide6.QtGui import QImage, QImageReader

from mqvpn_gui.user.client_files import read_client_file
from mqvpn_gui.user.errors import ProfileError
from mqvpn_gui.user.private_files import read_text_file
from mqvpn_gui.user.profile_links import is_link, profile_from_link
from mqvpn_gui.user.profile_store import ProfileStore, name_from
from mqvpn_gui.user.profile_text import MAX_PROFILE_BYTES, StoredProfile
from mqvpn_gui.user.secret_text import SecretText

MAX_PICTURE_BYTES = 32 << 20
"""Largest file that is opened as a picture."""

_MAX_PIXELS = 8000
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A server somebody gave us, not kept yet."""

    stored: StoredProfile
    """The profile."""
    secret: SecretText | None
    """The key that came with it."""
    name: str
    """What to call it."""
    notes: tuple[str, ...] = ()
    """What the user should know."""


def found_in_text(text: str, store: ProfileStore) -> Found:
    """Read a link, or the text of a file.

    Raises:
        ProfileError: it is neither.
    """
    text = text.strip()
    if is_link(text):
        stored, secret = profile_from_link(text)
        return _found(stored, secret, store)
    if not text:
        raise ProfileError("there is nothing to read", "paste a link that begins with mqvpn://")
    read = read_client_file(text, "", _no_certificates)
    return _found(read.stored, read.secret, store, read.notes)


def found_in_file(path: Path, store: ProfileStore) -> Found:
    """Read a configuration file, or a picture of a QR code.

    Raises:
        UserError: it cannot be read, or holds no server.
    """
    if path.suffix.lower() in _PICTURES:
        return found_in_text(_text_of_picture(_read_picture(path)), store)
    text = read_text_file(path, MAX_PROFILE_BYTES)
    if is_link(text.strip()):
        return found_in_text(text, store)

    def read_certificates(name: str) -> str:
        return read_text_file(path.parent / name, MAX_PROFILE_BYTES)

    read = read_client_file(text, path.name, read_certificates)
    return _found(read.stored, read.secret, store, read.notes)


def found_in_picture(picture: QImage, store: ProfileStore) -> Found:
    """Read a picture of a QR code, such as one from the clipboard.

    Raises:
        ProfileError: there is no code of a server in it.
    """
    return found_in_text(_text_of_picture(picture), store)


def _found(
    stored: StoredProfile,
    secret: SecretText | None,
    store: ProfileStore,
    notes: tuple[str, ...] = (),
) -> Found:
    wanted = name_from(stored.settings.name or stored.settings.host)
    return Found(stored=stored, secret=secret, name=store.free_name(wanted), notes=notes)


def _read_picture(path: Path) -> QImage:
    try:
        too_large = path.stat().st_size > MAX_PICTURE_BYTES
    except OSError as error:
        raise ProfileError(f"{path.name} cannot be read: {error.strerror}") from None
    reader = QImageReader(str(path))
    size = reader.size()
    if too_large or max(size.width(), size.height()) > _MAX_PIXELS:
        raise ProfileError(f"{path.name} is too large", "cut the picture down to the code")
    picture = reader.read()
    if picture.isNull():
        raise ProfileError(f"{path.name} is not a picture: {reader.errorString()}")
    return picture


def _text_of_picture(picture: QImage) -> str:
    grey = picture.convertToFormat(QImage.Format.Format_Grayscale8)
    if grey.isNull() or not grey.width() or not grey.height():
        raise ProfileError("there is no picture")
    rows = memoryview(bytes(grey.constBits())).cast("B", (grey.height(), grey.bytesPerLine()))
    texts = [code.text for code in zxingcpp.read_barcodes(rows)]
    links = [text for text in texts if is_link(text)]
    if links:
        return links[0]
    if texts:
        raise ProfileError(
            "the code in the picture is not a link of mqvpn",
            "it has to be the one that 'mqvpn-core user add' or 'mqvpn profile share' shows",
        )
    raise ProfileError(
        "there is no QR code in the picture", "take it straight on, with a white edge all around"
    )


def _no_certificates(name: str) -> str:
    raise ProfileError(f"the text names the file {name}", "import the file in place of its text")
