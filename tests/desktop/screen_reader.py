"""A screen reader for tests: does what a blind user would, by names alone.

Runs under the system's Python, which has pyatspi, and imports nothing else. Reads one JSON object
a line (``do``, ``role``, ``name``, ``description``, ``text``) and answers each with one: ``ok`` and
what it saw.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Protocol

import pyatspi

PATIENCE = 30.0
APPLICATION = "mqvpn"


class States(Protocol):
    """States of an object."""

    def contains(self, state: object) -> bool: ...


class Interface(Protocol):
    """What can be done with an object."""

    def doAction(self, number: int) -> bool: ...
    def setTextContents(self, text: str) -> bool: ...


class Node(Protocol):
    """An object on the screen."""

    name: str
    description: str
    childCount: int

    def getRoleName(self) -> str: ...
    def getState(self) -> States: ...
    def getChildAtIndex(self, index: int) -> "Node | None": ...
    def queryAction(self) -> Interface: ...
    def queryEditableText(self) -> Interface: ...


def application() -> Node | None:
    """The program on the accessibility bus."""
    for each in pyatspi.Registry.getDesktop(0):
        if each is not None and each.name == APPLICATION and each.childCount:
            found: Node = each
            return found
    return None


def walk(node: Node | None) -> Iterator[Node]:
    """Every object, the outermost first."""
    if node is None:
        return
    yield node
    for index in range(node.childCount):
        yield from walk(node.getChildAtIndex(index))


def has(node: Node, state: object) -> bool:
    """Whether an object is in a state."""
    return node.getState().contains(state)


def visible() -> list[Node]:
    """What the user can get at."""
    return [each for each in walk(application()) if has(each, pyatspi.STATE_SHOWING)]


def wait_for(role: str, name: str, description: str) -> Node | None:
    """The object with this role whose name and description begin so, with patience."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            for each in visible():
                fits = each.name.startswith(name) and each.description.startswith(description)
                if fits and each.getRoleName() == role:
                    return each
        except Exception:  # noqa: BLE001, S110 - the tree changes while it is walked
            pass
        time.sleep(0.1)
    return None


def tree() -> list[dict[str, str | bool]]:
    """Everything that can be seen."""
    return [
        {
            "role": each.getRoleName(),
            "name": each.name,
            "description": each.description,
            "focusable": has(each, pyatspi.STATE_FOCUSABLE),
        }
        for each in visible()
    ]


def act(order: dict[str, str]) -> dict[str, object]:
    """Carry out one order."""
    if order["do"] == "tree":
        return {"objects": tree()}
    node = wait_for(order["role"], order["name"], order.get("description", ""))
    if node is None:
        return {"error": "not there"}
    match order["do"]:
        case "press":
            return {"ok": bool(node.queryAction().doAction(0))}
        case "write":
            return {"ok": bool(node.queryEditableText().setTextContents(order["text"]))}
        case _:
            return {"ok": True, "name": node.name, "description": node.description}


for line in sys.stdin:
    try:
        answer = act(json.loads(line))
    except Exception as error:  # noqa: BLE001 - whatever it is, the test shall see it
        answer = {"error": repr(error)}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
