"""The screen reader's other end: orders and answers, one line each."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.desktop.session import Desktop

LAUNCHER = "/usr/libexec/at-spi-bus-launcher"
"""Starts the accessibility bus."""
PYATSPI = "/usr/lib/python3/dist-packages/pyatspi/__init__.py"
"""What the screen reader needs of the system's Python."""

_SYSTEM_PYTHON = "/usr/bin/python3"
_PROGRAM = Path(__file__).with_name("screen_reader.py")


class Reader:
    """Talks to the screen reader's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def objects(self) -> list[dict[str, object]]:
        """Everything that can be seen."""
        found = self._ask(do="tree")["objects"]
        assert isinstance(found, list)
        return found

    def press(self, role: str, name: str, description: str = "") -> None:
        """Do what a button is for."""
        answer = self._ask(do="press", role=role, name=name, description=description)
        assert answer.get("ok"), (name, answer, self.names())

    def write(self, role: str, name: str, text: str) -> None:
        """Put text into a field."""
        answer = self._ask(do="write", role=role, name=name, text=text)
        assert answer.get("ok"), (name, answer, self.names())

    def look(self, role: str, name: str) -> str:
        """The whole name of the first object that begins so."""
        answer = self._ask(do="look", role=role, name=name)
        assert answer.get("ok"), (name, answer, self.names())
        return str(answer["name"])

    def names(self) -> list[str]:
        """Roles and names of everything, for messages."""
        return [f"{each['role']}: {each['name']}" for each in self.objects() if each["name"]]

    def _ask(self, **order: str) -> dict[str, object]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, object] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def screen_reader(made: Desktop) -> Iterator[Reader]:
    """Read a desktop's screen for the length of a block; the accessibility bus has to run."""
    process = subprocess.Popen(  # noqa: S603 - a file beside this one
        made.wrap([_SYSTEM_PYTHON, str(_PROGRAM)]),
        env={**made.environment, "PYTHONPATH": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Reader(process)
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.terminate()
        process.wait()
