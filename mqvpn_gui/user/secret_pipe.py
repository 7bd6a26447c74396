"""A key as a file descriptor, the only form in which it leaves this process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mqvpn_gui.user.secret_text import SecretText


@contextmanager
def secret_pipe(secret: SecretText | None) -> Iterator[int]:
    """Give the read end of a pipe that holds the key and nothing else; closed afterwards.

    The longest key fits into the buffer of a pipe, so nothing blocks.

    Args:
        secret: the key; None makes an empty pipe.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            if secret is not None:
                os.write(writing, secret.reveal().encode("ascii"))
        finally:
            os.close(writing)
        yield reading
    finally:
        os.close(reading)
