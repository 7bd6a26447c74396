"""Options that several commands have."""

from mqvpn_gui.command.parsing import Parser, Takes
from mqvpn_gui.model.helper_state import KillSwitch

KILL_SWITCH_MODES = tuple(mode.value for mode in KillSwitch)
"""What a kill switch can be."""


def add_json(parser: Parser) -> None:
    """Give a command ``--json``."""
    parser.know(parser.add_argument("--json", action="store_true", help="print JSON"))


def add_force(parser: Parser, what: str) -> None:
    """Give a command ``--force``.

    Args:
        parser: the command.
        what: what it does, one line.
    """
    parser.know(parser.add_argument("--force", action="store_true", help=what))


def add_profile(parser: Parser) -> None:
    """Give a command the name of a profile."""
    action = parser.add_argument("name", metavar="NAME", help="the profile")
    parser.know(action, Takes.PROFILE)


def add_interface(parser: Parser) -> None:
    """Give a command the name of an interface."""
    action = parser.add_argument("interface", metavar="IFACE", help="the network interface")
    parser.know(action, Takes.INTERFACE)
