"""Bytes that mean harm, through the real bus: the helper lives on and nothing happens.

`tests/service` has the same in virtual time with more cases; here is what a real bus lets through.
"""

import random
from array import array
from pathlib import Path

import pytest
from jeepney import DBusAddress, new_method_call
from jeepney.low_level import HeaderFields, Message

from mqvpn_helper.interface.bus_interface import METHODS
from mqvpn_helper.interface.bus_names import BUS_NAME, INTERFACE_NAME, OBJECT_PATH
from tests.bus.system_bus import BusUser, SystemBus

pytestmark = [pytest.mark.netns, pytest.mark.slow]

SEED = 20260101
ROUNDS = 150
HELPER = DBusAddress(OBJECT_PATH, bus_name=BUS_NAME, interface=INTERFACE_NAME)
BODIES: dict[str, object] = {
    "a{sv}": {"server": ("s", "192.0.2.1"), "dns": ("as", ["10.0.0.1"])},
    "s": "off",
    "u": 1,
    "t": 1,
    "h": 0,
}


def encode(message: Message, serial: int) -> bytes:
    return message.serialise(serial=serial, fds=array("i"))


def test_damaged_messages_do_no_harm(bus: SystemBus) -> None:
    alice, bob = bus.user("alice"), bus.user("bob")
    alice.properties()
    helper = bus.helper_pid()
    chance = random.Random(SEED)
    user: BusUser = bob
    for number in range(ROUNDS):
        answer = user.ask(
            {"raw": _hostile(chance, 1000 + number).hex(), "fds": chance.choice([0, 0, 1, 2, 16])}
        )
        # The bus throws out who sends it nonsense; whoever it is comes back.
        if "lost" in answer:
            user = bus.user("bob")
    user = bus.user("bob")
    bus.wait(lambda: _is_served(alice), "answer to somebody else")
    assert bus.helper_pid() == helper
    assert alice.properties()["State"] == "off"
    assert bus.run(["nft", "list", "ruleset"]).stdout == ""
    assert bus.namespace.links() == ["lo"]
    journals = bus.run(["find", "/run/mqvpn", "-name", "*.journal"]).stdout
    assert journals == ""
    assert _descriptors(helper) < 20


def test_long_messages_and_floods_do_no_harm(bus: SystemBus) -> None:
    alice, bob = bus.user("alice"), bus.user("bob")
    alice.properties()
    helper = bus.helper_pid()
    long = new_method_call(HELPER, "SetDns", "a{sv}", ({"dns": ("as", ["::"] * 100_000)},))
    call = new_method_call(HELPER, "SetKillSwitch", "s", ("off",))
    for number in range(20):
        bob.ask({"raw": encode(long, 100 + number).hex(), "fds": 0})
        bob.ask({"raw": (encode(call, 5000) * 100).hex(), "fds": 0})
    bus.wait(lambda: _is_served(alice), "answer to somebody else")
    assert bus.helper_pid() == helper
    assert alice.properties()["State"] == "off"


def _hostile(chance: random.Random, serial: int) -> bytes:
    method = chance.choice(METHODS)
    signature = chance.choice([method.input_signature, "s", "a{sv}", "hh", "aaaaas", "v", ""])
    body = _body(signature) if signature != method.input_signature else _fitting(method.arguments)
    message = new_method_call(HELPER, method.name, signature or None, body)
    if chance.random() < 0.3:
        message.header.fields[HeaderFields.unix_fds] = chance.randrange(20)
    message = Message(message.header, body)
    data = bytearray(encode(message, serial))
    for _ in range(chance.choice([0, 0, 1, 3])):
        data[chance.randrange(16, len(data))] = chance.randrange(256)
    return bytes(data)


def _fitting(arguments: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(BODIES[getattr(each, "signature", "")] for each in arguments)


def _body(signature: str) -> tuple[object, ...]:
    match signature:
        case "s":
            return ("x" * 3000,)
        case "a{sv}":
            return ({"a": ("v", ("v", ("v", ("s", "deep"))))},)
        case "hh":
            return (0, 0)
        case "aaaaas":
            return ([[[[["deep"]]]]],)
        case "v":
            return (("a(sa{sv})", [("x", {})]),)
        case _:
            return ()


def _is_served(user: BusUser) -> bool:
    return user.properties()["State"] == "off"


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
