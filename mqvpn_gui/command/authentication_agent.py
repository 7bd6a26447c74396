"""polkit's text agent on this terminal, so that it can ask for a password where no desktop does.

It is a fallback: a desktop that has an agent of its own is asked there as always.
"""

import os
import select
import shutil
import subprocess

_PROGRAM = "pkttyagent"
_START_LIMIT = 3.0
_STOP_LIMIT = 2.0


class AuthenticationAgent:
    """The agent of this process. C: `start`, `stop`."""

    def __init__(self, *, is_wanted: bool) -> None:
        """Start nothing yet.

        Args:
            is_wanted: somebody sits at a terminal who could be asked.
        """
        self._is_wanted = is_wanted and os.geteuid() != 0  # root is never asked
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it once, and wait until polkit knows it; without the program nothing happens."""
        program = shutil.which(_PROGRAM) if self._is_wanted else None
        if program is None or self._process is not None:
            return
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - polkit's own program
                [
                    *(program, "--process", str(os.getpid()), "--fallback"),
                    *("--notify-fd", str(writing)),
                ],
                pass_fds=(writing,),
            )
            os.close(writing)
            writing = -1
            select.select([reading], [], [], _START_LIMIT)  # it closes its end when it is known
        except OSError:
            self._process = None  # then polkit says no, and the user is told
        finally:
            os.close(reading)
            if writing >= 0:
                os.close(writing)

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
