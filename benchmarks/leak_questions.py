"""A program of an ordinary user that looks names up all the time, as the machine says.

It is run on the machine with the tunnel. When its input ends it says how many it has asked for.
"""

import select
import socket
import sys
from contextlib import suppress

_PAUSE = 0.02


def main() -> None:
    """Ask until the input ends."""
    asked = 0
    while not select.select([sys.stdin], [], [], _PAUSE)[0]:
        asked += 1
        with suppress(OSError):
            socket.getaddrinfo(f"not-for-outside-{asked}.example", 80)
    sys.stdout.write(f"{asked}\n")


if __name__ == "__main__":
    main()
