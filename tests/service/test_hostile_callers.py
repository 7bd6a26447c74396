"""Callers that mean harm: floods, types that do not fit, methods that do not exist."""

import os
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from jeepney.low_level import HeaderFields, Message, MessageFlag, MessageType

from mqvpn_helper.interface.bus_interface import METHODS
from mqvpn_helper.interface.bus_names import BusError
from mqvpn_helper.service.message_stream import MAX_MESSAGE_BYTES
from mqvpn_helper.service.rate_limits import MAX_CALLS_AT_ONCE, MAX_CALLS_OF_USER, SENDER_LIMIT
from mqvpn_helper.service.subscriptions import MAX_SUBSCRIBERS_OF_USER
from tests.service.fake_bus import CallFailedError
from tests.service.scene import ALICE, BOB, Scene, helper_on_bus, run

UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"
BAD_ARGUMENTS = BusError.BAD_ARGUMENTS.bus_name
TOO_MANY = BusError.TOO_MANY_REQUESTS.bus_name


async def error_of(scene: Scene, message: Message) -> str:
    """Send a call of alice's; return the name of the error that answers it."""
    serial = await scene.bus.send(message)
    reply = await scene.bus.next_message(scene.alice.name, reply_to=serial)
    assert reply.header.message_type is MessageType.error
    return str(reply.header.fields[HeaderFields.error_name])


def test_calls_that_fit_nothing() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            make = scene.alice.make_call
            cases = (
                (make("Format", "", ()), UNKNOWN_METHOD),
                (make("Connect", "", (), interface="org.example.Other"), UNKNOWN_METHOD),
                (make("Connect", "", (), path="/"), UNKNOWN_OBJECT),
                (make("Connect", "", ()), BAD_ARGUMENTS),
                (make("Connect", "a{sv}u", ({}, 0)), BAD_ARGUMENTS),
                (make("Subscribe", "s", ("often",)), BAD_ARGUMENTS),
                (make("Disconnect", "s", ("please",)), BAD_ARGUMENTS),
                (make("GetEvents", "tt", (0, 0)), BAD_ARGUMENTS),
            )
            for message, name in cases:
                assert await error_of(scene, message) == name
            assert scene.bus.polkit_questions == []

    run(main)


def test_properties_cannot_be_written_and_have_one_interface() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            for member, signature, body in (
                ("Set", "ssv", ("org.mqvpn.Helper1", "State", ("s", "up"))),
                ("Get", "ss", ("org.mqvpn.Helper1", "Password")),
                ("Get", "ss", ("org.example.Other", "State")),
                ("GetAll", "s", ("org.example.Other",)),
            ):
                message = scene.alice.make_call(
                    member, signature, body, interface="org.freedesktop.DBus.Properties"
                )
                assert await error_of(scene, message) == BAD_ARGUMENTS

    run(main)


def test_an_object_above_ours_shows_the_way_and_no_more() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            introspectable = "org.freedesktop.DBus.Introspectable"
            for path, child in (("/", "org"), ("/org", "mqvpn"), ("/org/mqvpn", "Helper1")):
                message = scene.alice.make_call(
                    "Introspect", "", (), interface=introspectable, path=path
                )
                serial = await scene.bus.send(message)
                reply = await scene.bus.next_message(scene.alice.name, reply_to=serial)
                assert f'<node name="{child}"/>' in str(reply.body[0])

    run(main)


def test_who_wants_no_answer_gets_none_but_is_checked_all_the_same() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            for member, signature, body in (
                ("Subscribe", "u", (0,)),
                ("Nonsense", "", ()),
                ("SetKillSwitch", "s", ("off",)),
            ):
                message = scene.alice.make_call(member, signature, body)
                message.header.flags |= MessageFlag.no_reply_expected
                await scene.bus.send(message)
            with trio.move_on_after(30) as waiting:
                while True:
                    await scene.bus.wait_news()
            assert waiting.cancelled_caught
            assert [action for _, action, _ in scene.bus.polkit_questions] == [
                "org.mqvpn.killswitch"
            ]
            assert scene.machine.recovered == 0

    run(main)


def test_a_flood_is_turned_away_and_others_are_served() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            failures: list[str] = []
            for _ in range(3 * int(SENDER_LIMIT.burst)):
                try:
                    await scene.alice.properties()
                except CallFailedError as error:
                    failures.append(error.name)
            assert set(failures) == {TOO_MANY}
            assert len(failures) > SENDER_LIMIT.burst
            await scene.bob.properties()
            # What one connection of hers was refused costs her others nothing.
            await scene.bus.caller(ALICE).properties()
            await trio.sleep(60)
            await scene.alice.properties()

    run(main)


def test_many_connections_do_not_help_a_user() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            failures: list[str] = []
            for _ in range(100):
                caller = scene.bus.caller(ALICE)
                for _ in range(2):
                    try:
                        await caller.properties()
                    except CallFailedError as error:
                        failures.append(error.name)
            assert set(failures) == {TOO_MANY}
            assert len(failures) > 100
            await scene.bob.properties()

    run(main)


def test_long_messages_count_as_many_calls() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            long = {"dns": ("as", ["::"] * 10_000)}  # 80 KiB that take a while to decode
            failures: list[str] = []
            for _ in range(12):
                try:
                    await scene.bus.caller(ALICE).call("SetDns", long)
                except CallFailedError as error:
                    failures.append(error.name)
            assert failures.count(BAD_ARGUMENTS) < 5
            assert failures.count(TOO_MANY) > 7
            assert len(failures) == 12

    run(main)


def test_calls_that_wait_for_a_password_do_not_pile_up() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.is_polkit_silent = True
            serials = [
                await scene.bus.send(scene.alice.make_call("SetKillSwitch", "s", ("off",)))
                for _ in range(MAX_CALLS_AT_ONCE + 3)
            ]
            for serial in serials[MAX_CALLS_AT_ONCE:]:
                reply = await scene.bus.next_message(scene.alice.name, reply_to=serial)
                assert reply.header.fields[HeaderFields.error_name] == TOO_MANY
            # Unanswered questions are given up, and polkit is told so.
            for serial in serials[:MAX_CALLS_AT_ONCE]:
                reply = await scene.bus.next_message(scene.alice.name, reply_to=serial)
                text = str(reply.body[0])
                assert text == "org.mqvpn.killswitch: the password was not given"
            assert len(scene.bus.cancelled_questions) == MAX_CALLS_AT_ONCE
            assert scene.machine.recovered == 0

    run(main)


def test_calls_of_many_connections_that_wait_for_a_password_do_not_pile_up_either() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.is_polkit_silent = True
            for _ in range(MAX_CALLS_OF_USER):
                call = scene.bus.caller(ALICE).make_call("SetKillSwitch", "s", ("off",))
                await scene.bus.send(call)
            with pytest.raises(CallFailedError) as failure:
                await scene.alice.call("SetKillSwitch", "off")
            assert failure.value.name == TOO_MANY
            assert len(scene.bus.unanswered) == MAX_CALLS_OF_USER

    run(main)


def test_nobody_can_say_that_another_connection_is_gone() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            await scene.connect(scene.alice, tied=("b", True))
            name = scene.alice.name
            bus = "org.freedesktop.DBus"
            await scene.bus.send_signal(
                scene.bob.name, bus, "NameOwnerChanged", "sss", (name, name, "")
            )
            assert (await scene.alice.properties())["State"] == "up"
            await scene.bus.drop(scene.alice)
            await scene.changed("State", "off")

    run(main)


def test_subscribers_of_one_user_are_counted() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            for _ in range(MAX_SUBSCRIBERS_OF_USER):
                await scene.bus.caller(BOB).call("Subscribe", 100)
            with pytest.raises(CallFailedError) as failure:
                await scene.bus.caller(BOB).call("Subscribe", 100)
            assert failure.value.name == TOO_MANY
            await scene.alice.call("Subscribe", 0)

    run(main)


def test_a_message_that_is_too_long_is_answered() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            message = scene.alice.make_call("Connect", "s", ("x" * (2 * MAX_MESSAGE_BYTES),))
            assert await error_of(scene, message) == BAD_ARGUMENTS
            await scene.alice.properties()

    run(main)


def test_no_descriptor_stays_open_whatever_becomes_of_the_call() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            await scene.alice.properties()
            before = _open_descriptors()
            for member, signature, body in (
                ("Connect", "a{sv}h", ({}, 0)),
                ("Connect", "ha{sv}", (0, {})),
                ("ProvideSecrets", "h", (0,)),
                ("SetDns", "a{sv}", ({"dns": ("h", 0)},)),
                ("Nonsense", "hh", (0, 0)),
            ):
                message = scene.alice.make_call(member, signature, _with_fd(body))
                await error_of(scene, message)
            assert _open_descriptors() == before

    run(main)


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _with_fd(body: tuple[object, ...]) -> tuple[object, ...]:
    """The same with a descriptor that lives as long as this process where there is a zero."""
    return tuple(_DEVNULL if each == 0 else _nested(each) for each in body)


def _nested(value: object) -> object:
    match value:
        case dict():
            return {
                name: ("h", _DEVNULL) if inner == ("h", 0) else inner
                for name, inner in value.items()
            }
        case _:
            return value


_DEVNULL = os.open(os.devnull, os.O_RDONLY)

_variants = st.one_of(
    st.tuples(st.just("s"), st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
    st.tuples(st.just("u"), st.integers(0, (1 << 32) - 1)),
    st.tuples(st.just("b"), st.booleans()),
    st.tuples(st.just("as"), st.lists(st.sampled_from(["::", "10.0.0.0/8", "a.b", "\n", ""]))),
    st.tuples(st.just("v"), st.tuples(st.just("d"), st.floats())),
    st.tuples(st.just("a{sv}"), st.just({"x": ("i", 1)})),
)
_settings = st.dictionaries(
    st.sampled_from(
        ["server", "dns", "role", "kill_switch", "split_exclude", "tun_name", "mtu", "x"]
    ),
    _variants,
)
_ARGUMENTS = {
    "a{sv}": _settings,
    "s": st.sampled_from(["off", "always", "wlan0", "../../x", "", "\x1b[2J", "x" * 4000]),
    "u": st.integers(0, (1 << 32) - 1),
    "t": st.integers(0, (1 << 64) - 1),
    "h": st.just(_DEVNULL),
}


@settings(max_examples=60)
@given(st.data())
def test_nothing_happens_without_permission_whatever_is_asked(data: st.DataObject) -> None:
    """Calls of every method with arguments of the right types; polkit grants nothing."""
    calls = [
        (method, tuple(data.draw(_ARGUMENTS[each.signature]) for each in method.arguments))
        for method in data.draw(st.lists(st.sampled_from(METHODS), min_size=1, max_size=8))
    ]

    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.polkit_answers.clear()
            failures: set[str] = set()
            for method, body in calls:
                try:
                    await scene.alice.call(method.name, *body)
                except CallFailedError as error:
                    failures.add(error.name)
            assert failures <= {each.bus_name for each in BusError} - {BusError.FAILED.bus_name}
            assert scene.sessions == []
            assert scene.machine.recovered == 0
            assert (await scene.bob.properties())["State"] == "off"

    run(main)
