"""The user's profiles: one file each, ``NAME.toml``, under the user's configuration directory."""

import re
import unicodedata
from pathlib import Path

from mqvpn_gui.user.errors import ProfileError, UserError
from mqvpn_gui.user.private_files import config_directory, read_text_file, write_private_file
from mqvpn_gui.user.profile_text import (
    MAX_PROFILE_BYTES,
    StoredProfile,
    read_profile,
    write_profile,
)

MAX_PROFILES = 256
"""Profiles that are looked at."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)
_SUFFIX = ".toml"
_LONGEST = 40
_SHOWN = 60


def check_name(name: str) -> str:
    """Return the name of a profile.

    Raises:
        ProfileError: a profile cannot be called that.
    """
    if _NAME.fullmatch(name) is None:
        raise ProfileError(
            f"{name[:_SHOWN]!r} cannot be the name of a profile",
            f"use 1 to {_LONGEST} letters, digits and . _ - beginning with a letter or digit",
        )
    return name


def name_from(text: str) -> str:
    """Make a name of a profile out of any text; empty when nothing of it can be used."""
    plain = unicodedata.normalize("NFKD", text[: 4 * _LONGEST]).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9.]+", plain.lower())
    return "-".join(words).strip(".-")[:_LONGEST].rstrip(".-")


class ProfileStore:
    """Profiles by name.

    A: `names`, `read`, `path_of`. C: `write`, `remove`.
    """

    def __init__(self, directory: Path | None = None) -> None:
        """Use a directory, which need not be there.

        Args:
            directory: where the files are; the user's configuration directory by default.
        """
        self._directory = config_directory() / "profiles" if directory is None else directory

    def names(self) -> tuple[str, ...]:
        """The names of all profiles in order; files that could not be one are left out.

        Raises:
            UserError: the directory cannot be read.
        """
        try:
            files = [each.name for each in self._directory.iterdir()]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise UserError(f"{self._directory}: {error.strerror}") from None
        stems = [each.removesuffix(_SUFFIX) for each in files if each.endswith(_SUFFIX)]
        return tuple(sorted(each for each in stems if _NAME.fullmatch(each)))[:MAX_PROFILES]

    def path_of(self, name: str) -> Path:
        """The file of a profile.

        Raises:
            ProfileError: a profile cannot be called that.
        """
        return self._directory / f"{check_name(name)}{_SUFFIX}"

    def has(self, name: str) -> bool:
        """Whether there is a profile of this name."""
        return name in self.names()

    def read(self, name: str) -> StoredProfile:
        """Return a profile.

        Raises:
            UserError: there is none, or its file is not as it should be.
        """
        path = self.path_of(name)
        try:
            text = read_text_file(path, MAX_PROFILE_BYTES)
        except FileNotFoundError:
            raise ProfileError(f"there is no profile {name}", self._advice()) from None
        try:
            return read_profile(text)
        except ProfileError as error:
            raise ProfileError(f"{path}: {error.problem}", error.advice) from None

    def write(self, name: str, stored: StoredProfile, *, overwrite: bool) -> None:
        """Keep a profile.

        Raises:
            UserError: the name is taken and ``overwrite`` is false, or it cannot be written.
        """
        path = self.path_of(name)
        if len(self.names()) >= MAX_PROFILES and not self.has(name):
            raise ProfileError(f"there are {MAX_PROFILES} profiles already", "remove some")
        try:
            write_private_file(path, write_profile(stored), overwrite=overwrite)
        except FileExistsError:
            raise ProfileError(
                f"there is a profile {name} already", "choose another --name, or say --force"
            ) from None

    def remove(self, name: str) -> None:
        """Remove a profile.

        Raises:
            UserError: there is none, or it cannot be removed.
        """
        try:
            self.path_of(name).unlink()
        except FileNotFoundError:
            raise ProfileError(f"there is no profile {name}", self._advice()) from None
        except OSError as error:
            raise UserError(f"{self.path_of(name)}: {error.strerror}") from None

    def free_name(self, wanted: str) -> str:
        """Return a name that is not taken: ``wanted`` made fit, with a number where needed."""
        base = name_from(wanted) or "server"
        taken = set(self.names())
        name, number = base, 2
        while name in taken:
            ending = f"-{number}"
            name, number = base[: _LONGEST - len(ending)] + ending, number + 1
        return name

    def _advice(self) -> str:
        names = self.names()
        if not names:
            return "there are none yet: mqvpn profile import adds one"
        return "there are: " + ", ".join(names)
