"""A client that changes keys four times a second, which no configuration allows.

Run as a program in place of ``mqvpn-core``, with the same command line.
"""

import sys
from collections import deque

from mqvpn_core.cli import main
from mqvpn_core.quic import connection_parts
from mqvpn_core.quic.events import Event
from mqvpn_core.quic.key_updates import KeyUpdates
from mqvpn_core.quic.protection import PacketProtection

_SECONDS = 0.25


def hasty_updates(
    protection: PacketProtection, _interval: float | None, events: deque[Event]
) -> KeyUpdates:
    return KeyUpdates(protection, _SECONDS, events)


if __name__ == "__main__":
    connection_parts.KeyUpdates = hasty_updates  # type: ignore[assignment, attr-defined] # the point
    sys.exit(main())
