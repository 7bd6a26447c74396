"""Exit codes of ``mqvpn``."""

import enum


class ExitCode(enum.IntEnum):
    """What a finished command tells its caller."""

    OK = 0
    """Done."""
    FAILURE = 1
    """Something went wrong that has no code of its own."""
    USAGE = 2
    """A wrong option, name or value; nothing was changed."""
    NOT_AUTHORIZED = 3
    """The user may not do that."""
    HELPER_MISSING = 4
    """The helper is not installed, or does not answer."""
    SECRET = 5
    """The key is missing, or the keyring did not give or keep it."""
    TUNNEL = 6
    """The tunnel did not come up, or is not up."""


EXIT_CODES = """\
exit codes:
  0  done
  1  something failed
  2  a wrong option, name or value; nothing was changed
  3  you may not do that
  4  the helper is not installed, or does not answer
  5  the key is missing, or the keyring did not give or keep it
  6  the tunnel did not come up, or is not up
"""
"""The same for ``--help``."""
