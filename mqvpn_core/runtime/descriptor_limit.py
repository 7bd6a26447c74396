"""How many files and sockets this process may have open.

Every path has a few sockets, and what makes routes opens more for a moment. Whoever runs short of
them does so in the middle of something: better before it begins.
"""

import resource

from mqvpn_core.errors import HostError

ENOUGH_DESCRIPTORS = 64
"""What a tunnel over a handful of links needs, with room to spare."""


def claim_descriptors() -> None:
    """Raise the limit as far as this process may.

    Raises:
        HostError: that is not far enough.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # RLIM_INFINITY is -1; Linux has no such limit for files.
    if 0 <= soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if 0 <= hard < ENOUGH_DESCRIPTORS:
        raise HostError(
            f"this process may open {hard} files and sockets, and needs {ENOUGH_DESCRIPTORS}; "
            "raise the limit ('ulimit -Hn' in a shell, LimitNOFILE= of a service)"
        )
