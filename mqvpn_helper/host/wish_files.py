"""Files beside the journal from which the next process can have a tunnel again.

One says what its user wants, the other has the secret. This module knows where they are and removes
them with everything else; what is in them is `mqvpn_helper.session.tunnel_memory`'s.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mqvpn_helper.host.failures import HostChangeError

_FILE_PATTERN = re.compile(r"(?P<tun>[A-Za-z0-9_.-]{1,15})@(?P<netns>[0-9a-f]{1,16})\.wish")


class WishFiles:
    """The files of one TUN device. A: ``wish``, ``secret``. C: `forget`."""

    def __init__(self, directory: Path, tun_name: str, netns: int) -> None:
        """Name the files; they need not be there.

        Args:
            directory: where the journal is.
            tun_name: the device, which has been checked.
            netns: its network namespace.
        """
        self.tun_name = tun_name
        """The device."""
        self.wish = directory / f"{tun_name}@{netns:x}.wish"
        """What the user wants."""
        self.secret = directory / f"{tun_name}@{netns:x}.secret"
        """The secret, where nobody else keeps it."""

    def forget(self) -> None:
        """Remove both: nobody wants this tunnel any more.

        Raises:
            HostChangeError: one of them stays.
        """
        try:
            self.secret.unlink(missing_ok=True)
            self.wish.unlink(missing_ok=True)
        except OSError as error:
            raise HostChangeError(f"cannot forget a tunnel: {error}") from error


def find_wishes(directory: Path, netns: int) -> Iterator[WishFiles]:
    """Return the files of all tunnels of a network namespace that are wanted.

    Args:
        directory: where the journal is.
        netns: the network namespace.
    """
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError:
        return
    for match in filter(None, map(_FILE_PATTERN.fullmatch, names)):
        if int(match["netns"], 16) == netns:
            yield WishFiles(directory, match["tun"], netns)
