"""Exit codes of ``mqvpn-core``; the manual and ``--help`` list them from here."""

import enum


class ExitCode(enum.IntEnum):
    """What a finished command tells its caller."""

    OK = 0
    """Done, or stopped on request."""
    FAILURE = 1
    """Something went wrong that has no code of its own."""
    USAGE = 2
    """A wrong option, key or value; nothing was changed."""
    AUTHENTICATION_REFUSED = 3
    """The server refused the key."""
    SERVER_UNREACHABLE = 4
    """The server does not answer, or its certificate is not trusted."""
    PERMISSION = 5
    """This machine cannot carry a tunnel: a privilege is missing (root, or CAP_NET_ADMIN and
    /dev/net/tun), or a change of its network failed while the tunnel was up."""
