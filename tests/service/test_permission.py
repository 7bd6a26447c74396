"""Who may do what: polkit's word, whose tunnel it is, and arguments before both."""

import pytest
import trio
from jeepney import new_method_return
from jeepney.low_level import HeaderFields

from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.host_plan import KillSwitchMode
from mqvpn_helper.session.events import (
    EventReported,
    StateChanged,
)
from tests.service.fake_bus import CallFailedError
from tests.service.refusals import refused
from tests.service.scene import (
    ALICE,
    ALL_GRANTED,
    PROFILE,
    Pipe,
    helper_on_bus,
    run,
)


def test_the_caller_decides_whether_a_password_may_be_asked_for() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            with pytest.raises(CallFailedError) as failure:
                await scene.alice.call("SetKillSwitch", "off", is_interactive=True)
            assert failure.value.name == BusError.NOT_AUTHORIZED.bus_name
            text = await refused(scene.alice, BusError.NOT_AUTHORIZED, "SetKillSwitch", "off")
            assert "interactive" in text
            flags = [flags for _, _, flags in scene.bus.polkit_questions]
            assert flags == [1, 0]

    run(main)


def test_a_denial_is_a_typed_error_and_changes_nothing() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.polkit_answers["org.mqvpn.connect"] = (False, False)
            with Pipe(b"") as secrets:
                text = await refused(
                    scene.alice, BusError.NOT_AUTHORIZED, "Connect", PROFILE, secrets.fileno()
                )
            assert "policy" in text
            assert scene.sessions == []

    run(main)


def test_without_polkit_root_alone_may_change_anything() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.has_polkit = False
            for member, body in (("SetKillSwitch", ("off",)), ("Recover", ())):
                text = await refused(scene.alice, BusError.NOT_AUTHORIZED, member, *body)
                assert "polkit is not running" in text
            with Pipe(b"") as secrets:
                await refused(
                    scene.alice, BusError.NOT_AUTHORIZED, "Connect", PROFILE, secrets.fileno()
                )
            assert (scene.machine.recovered, scene.sessions) == (0, [])
            await scene.root.call("Recover")
            assert scene.machine.recovered == 1

    run(main)


def test_an_answer_of_polkit_that_cannot_be_read_is_no_answer() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.is_polkit_silent = True
            serial = await scene.bus.send(scene.alice.make_call("SetKillSwitch", "s", ("off",)))
            while not scene.bus.unanswered:
                await scene.bus.wait_news()
            asked = trio.current_time()
            reply = new_method_return(scene.bus.unanswered[0], "(bba{ss})", ((True, False, {}),))
            with Pipe(b"") as superfluous:
                await scene.bus.send_bytes(reply.serialise(serial=1), [superfluous.fileno()])
            refusal = await scene.bus.next_message(scene.alice.name, reply_to=serial)
            assert (
                refusal.header.fields[HeaderFields.error_name] == BusError.NOT_AUTHORIZED.bus_name
            )
            assert "polkit is not running" in str(refusal.body[0])
            # Nobody waited until polkit was given up.
            assert trio.current_time() - asked < 1

    run(main)


def test_who_was_asked_about_is_asked_about_again_when_the_tunnel_has_become_anothers() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.polkit_answers["org.mqvpn.killswitch"] = ALL_GRANTED
            scene.bus.is_polkit_silent = True
            call = scene.bob.make_call("SetKillSwitch", "s", ("off",))
            serial = await scene.bus.send(call)
            while not scene.bus.unanswered:
                await scene.bus.wait_news()
            scene.bus.is_polkit_silent = False
            session = await scene.connect(scene.alice)
            await scene.bus.answer_late()
            reply = await scene.bus.next_message(scene.bob.name, reply_to=serial)
            assert "org.mqvpn.others" in str(reply.body[0])
            assert scene.bus.polkit_questions[-1][1] == "org.mqvpn.others"
            assert KillSwitchMode.OFF not in session.wishes

    run(main)


def test_arguments_are_looked_at_before_anybody_is_asked() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            alice = scene.alice
            with Pipe(b"") as secrets:
                fd = secrets.fileno()
                bad = {"server": ("s", "two words")}
                await refused(alice, BusError.BAD_PROFILE, "Connect", bad, fd)
                await refused(
                    alice, BusError.BAD_PROFILE, "Connect", {"server": ("v", ("s", ""))}, fd
                )
            await refused(alice, BusError.BAD_ARGUMENTS, "SetKillSwitch", "perhaps")
            await refused(
                alice, BusError.BAD_ARGUMENTS, "SetPathPolicy", "../x", {"role": ("s", "never")}
            )
            await refused(
                alice, BusError.BAD_ARGUMENTS, "SetPathPolicy", "eth0", {"role": ("u", 1)}
            )
            await refused(alice, BusError.BAD_ARGUMENTS, "SetDns", {"dns": ("as", ["::g"])})
            await refused(
                alice, BusError.BAD_ARGUMENTS, "SetSplit", {"split_exclude": ("s", "all")}
            )
            await refused(alice, BusError.BAD_ARGUMENTS, "AllowPortal", "wlan0", 1 << 31)
            assert scene.bus.polkit_questions == []

    run(main)


def test_another_user_needs_an_administrator_for_a_tunnel_that_is_not_his() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            session = await scene.connect(scene.alice)
            session.emit(EventReported(kind=BusEventKind.PATH_UP, path="wlan0"))
            scene.bus.polkit_questions.clear()
            for member, body in (
                ("Disconnect", ()),
                ("GetEvents", (0, 10)),
                ("SetPathPolicy", ("wlan0", {"role": ("s", "never")})),
                ("SetKillSwitch", ("off",)),
                ("Recover", ()),
                ("CollectDiagnostics", ()),
            ):
                await refused(scene.bob, BusError.NOT_AUTHORIZED, member, *body)
            actions = {action for _, action, _ in scene.bus.polkit_questions}
            assert actions == {"org.mqvpn.others"}
            seen = await scene.bob.properties()
            assert seen["State"] == "up"
            assert not {"Server", "Addresses", "Paths", "LastError", "Profile"} & set(seen)
            with pytest.raises(CallFailedError):
                await scene.bob.call(
                    "Get",
                    "org.mqvpn.Helper1",
                    "Server",
                    interface="org.freedesktop.DBus.Properties",
                    signature="ss",
                )
            assert session.wishes == [None]

    run(main)


def test_only_one_tunnel_at_a_time_whoever_asks() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            await scene.connect(scene.alice)
            for caller in (scene.alice, scene.bob):
                with Pipe(b"") as secrets:
                    await refused(caller, BusError.BUSY, "Connect", PROFILE, secrets.fileno())
            assert len(scene.sessions) == 1

    run(main)


def test_a_blocked_tunnel_makes_room_for_its_user_and_leaves_the_kill_switch_in_force() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            await scene.connect(scene.alice)
            first = scene.sessions[0]
            first.emit(StateChanged(state=TunnelState.BLOCKED))
            await trio.sleep(1)
            with Pipe(b"") as secrets:
                await refused(scene.bob, BusError.BUSY, "Connect", PROFILE, secrets.fileno())
            assert [each.keeps_kill_switch for each in scene.sessions] == [False]
            await scene.connect(scene.alice)
            assert [each.keeps_kill_switch for each in scene.sessions] == [True, False]
            seen = await scene.alice.properties()
            assert (seen["State"], seen["Owner"]) == ("up", ALICE)

    run(main)


def test_the_owner_disconnects_without_being_asked() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            await scene.connect(scene.alice)
            scene.bus.polkit_answers.clear()
            await scene.alice.call("Disconnect")
            seen = await scene.alice.properties()
            assert (seen["State"], seen["Owner"]) == ("off", 0xFFFF_FFFF)
            await refused(scene.root, BusError.NOT_CONNECTED, "Disconnect")

    run(main)


def test_an_administrator_may_disconnect_another_user() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            await scene.connect(scene.alice)
            scene.bus.polkit_answers["org.mqvpn.others"] = ALL_GRANTED
            await scene.bob.call("Disconnect")
            await scene.connect(scene.alice)
            await scene.root.call("Disconnect")
            assert scene.root.name not in {name for name, _, _ in scene.bus.polkit_questions}

    run(main)
