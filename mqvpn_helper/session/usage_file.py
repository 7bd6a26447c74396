"""What links have carried in a month, on disk between tunnels; the file of ``mqvpn-core client``.

The helper counts nothing: it keeps for the next core what this one says.
"""

import json
import logging
from pathlib import Path

from mqvpn_helper.host.private_files import read_file, replace_file
from mqvpn_helper.interface.control_messages import MAX_USED_LINKS, LinkUsage
from mqvpn_helper.interface.control_packets import read_usage
from mqvpn_helper.interface.members import MemberError, MemberReader

_LOGGER = logging.getLogger(__name__)

DEFAULT_USAGE_DIRECTORY = Path("/var/lib/mqvpn")
"""Survives a reboot, as a month does."""
_VERSION = 1
_MAX_FILE_BYTES = 1 << 16


class UsageFile:
    """The file of one TUN device. A: `load`. C: `save`."""

    def __init__(self, directory: Path, tun_name: str) -> None:
        """Name the file; it is made when first saved.

        Args:
            directory: where it is.
            tun_name: name of the device, which the profile has checked.
        """
        self._path = directory / f"usage-{tun_name}.json"

    def load(self) -> LinkUsage:
        """Return what was saved last; nothing when that cannot be read."""
        try:
            content: object = json.loads(read_file(self._path, _MAX_FILE_BYTES))
            if not isinstance(content, dict):
                raise MemberError("usage: no JSON object")
            members: dict[str, object] = content
            self._keep_newer(members.get("version"))
            reader = MemberReader(members, "usage")
            reader.whole("version", _VERSION, _VERSION)
            usage = read_usage(reader)
            reader.finish()
        except FileNotFoundError:
            return LinkUsage()
        except (OSError, ValueError, RecursionError) as error:
            _LOGGER.warning("%s cannot be read (%s): counting begins anew", self._path, error)
            return LinkUsage()
        return usage

    def _keep_newer(self, version: object) -> None:
        """Keep what a newer helper has left aside; raises OSError, MemberError."""
        if isinstance(version, int) and version > _VERSION:
            kept = self._path.with_name(f"{self._path.name}.newer")
            self._path.replace(kept)
            raise MemberError(f"written by a newer mqvpn, kept as {kept}")

    def save(self, usage: LinkUsage) -> None:
        """Replace the file; a failure is only worth a warning."""
        content = {
            "version": _VERSION,
            "month": usage.month,
            "bytes": dict(usage.bytes_by_link[:MAX_USED_LINKS]),
        }
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(content, indent=1).encode("ascii"))
        except OSError as error:
            _LOGGER.warning("%s: %s; caps may count wrong after a restart", self._path, error)
