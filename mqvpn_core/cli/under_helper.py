"""What the privileged helper starts: ``python -m mqvpn_core.cli.under_helper TUN CONTROL SECRET``.

The three arguments are numbers of inherited descriptors. Not a command for people.
"""

import ctypes.util
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run the client; return its exit code."""
    # WORKAROUND: trio and pyroute2 look for the C library with the help of programs and temporary
    # files, of which this process has neither; both do without what is not found.
    ctypes.util.find_library = _find_nothing
    from mqvpn_core.app import under_helper  # noqa: PLC0415 - after the above

    tun, control, secret = (int(each) for each in arguments)
    return under_helper.run(tun, control, secret)


def _find_nothing(name: str) -> str | None:
    del name
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
