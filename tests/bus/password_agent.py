"""polkit's text agent for one process, with somebody who types a password."""

import os
import pty
import select
import sys
import termios
import time

_SECONDS = 60


def main(process: str, password: str) -> None:
    registered, notify = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:
        os.set_inheritable(notify, True)
        command = ["pkttyagent", f"--notify-fd={notify}", "--process", process]
        os.execvp(command[0], command)  # noqa: S606 - the agent itself, on this terminal
    os.close(notify)
    os.read(registered, 1)  # closed when the agent is known to polkit
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    seen, deadline = b"", time.perf_counter() + _SECONDS
    while time.perf_counter() < deadline:
        if not select.select([terminal], [], [], 0.5)[0]:
            continue
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            sys.exit(f"the agent ended: {seen.decode(errors='replace')}")
        if b"assword:" in seen:
            # The agent prints its prompt, then switches the echo off and discards what was typed.
            while termios.tcgetattr(terminal)[3] & termios.ECHO:
                time.sleep(0.02)
            os.write(terminal, password.encode() + b"\n")
            seen = b""


if __name__ == "__main__":
    main(*sys.argv[1:])
