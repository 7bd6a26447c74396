"""The command line of ``mqvpn-gui``; knows no Qt, so that its manual page can be made without."""

import argparse
from importlib.metadata import PackageNotFoundError, version

_EXAMPLES = """\
examples:
  mqvpn-gui                      the window, and an icon in the panel
  mqvpn-gui --hidden             the icon alone, as at the start of a session
  mqvpn-gui 'mqvpn://...'        ask whether to add the server of a link

A second start wakes up the window that is open already, and hands it the link. Without a screen,
the command mqvpn does the same.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="mqvpn-gui",
        usage="mqvpn-gui [OPTIONS] [LINK...]",
        description=f"Tray icon and window of mqvpn, a VPN over several links.\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "link", nargs="*", metavar="LINK", help="an mqvpn:// link to add a server from"
    )
    parser.add_argument(
        "--hidden", action="store_true", help="show only the tray icon, where there is a tray"
    )
    parser.add_argument("--version", action="version", version=f"mqvpn {_version()}")
    return parser


def _version() -> str:
    try:
        return version("mqvpn")
    except PackageNotFoundError:
        return "from a checkout"
