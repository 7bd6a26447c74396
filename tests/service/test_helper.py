"""The helper as its callers see it: methods, permission, properties, signals, and when it ends."""

import os

import pytest
import trio
from typing_extensions import override

from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.control_messages import LinkKind, PathReport, PathState, PathUse
from mqvpn_helper.interface.host_plan import DnsMethod, KillSwitchMode
from mqvpn_helper.interface.tunnel_settings import PathPolicy, PathRole
from mqvpn_helper.session.events import (
    DnsApplied,
    EventReported,
    KillSwitchChanged,
    PathStats,
    SecretsNeeded,
    SessionError,
    StateChanged,
)
from tests.service.fake_bus import BUS, CallFailedError, FakeCaller
from tests.service.scene import ALICE, ALL_GRANTED, PROFILE, FakeMachine, Pipe, helper_on_bus, run

WLAN = PathReport(
    interface="wlan0",
    kind=LinkKind.WIRELESS,
    state=PathState.ACTIVE,
    role=PathUse.PRIMARY,
    rtt_ms=18.0,
    jitter_ms=1.0,
    loss=0.0,
    rx_bps=1,
    tx_bps=2,
    share=1.0,
    metered=False,
    mtu=1400,
    used_bytes=1 << 70,
)


async def refused(caller: FakeCaller, kind: BusError, member: str, *body: object) -> str:
    """Call a method that must fail in this way; return the text of the error."""
    with pytest.raises(CallFailedError) as failure:
        await caller.call(member, *body)
    assert failure.value.name == kind.bus_name
    return failure.value.text


def test_connecting_starts_a_tunnel_of_the_caller() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            session = await scene.connect(scene.alice)
            assert session.secret == b"s3cret"
            assert session.profile.host == "vpn.example.org"
            await scene.changed("State", "up")
            await scene.changed("Owner", ALICE)
            seen = await scene.alice.properties()
            assert (seen["Server"], seen["Profile"]) == ("vpn.example.org:443", "home")
            question = (scene.alice.name, "org.mqvpn.connect", 0)
            assert scene.bus.polkit_questions == [question]

    run(main)


def test_a_tunnel_that_has_begun_is_shown_when_the_answer_is_there() -> None:
    class SlowMachine(FakeMachine):
        @override
        async def remember_owner(self, uid: int) -> None:
            await trio.sleep(5)
            await super().remember_owner(uid)

    async def main() -> None:
        async with helper_on_bus(machine=SlowMachine()) as scene:
            with Pipe(b"") as secrets:
                await scene.alice.call("Connect", PROFILE, secrets.fileno())
            assert (await scene.alice.properties())["State"] == "connecting"

    run(main)


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


def test_events_and_private_properties_reach_subscribers_of_the_owner_only() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            for caller in (scene.alice, scene.bob, scene.root):
                await caller.call("Subscribe", 0)
            session = await scene.connect(scene.alice)
            session.emit(PathStats(paths=(WLAN,), is_periodic=False))
            session.emit(
                EventReported(
                    kind=BusEventKind.FAILOVER,
                    path="wlan0",
                    detail={"gap_ms": 84, "text": "on", "loss": 0.5, "by": True},
                )
            )
            for caller in (scene.alice, scene.root):
                _, changed, _ = await caller.next_signal("PropertiesChanged")
                assert isinstance(changed, dict)
                assert "Server" in changed
                event = await caller.next_signal("Event")
                detail = {
                    "gap_ms": ("x", 84),
                    "text": ("s", "on"),
                    "loss": ("d", 0.5),
                    "by": ("b", True),
                }
                assert event[2:] == ("failover", "wlan0", detail)
            with trio.move_on_after(60) as waiting:
                await scene.bob.next_signal("Event")
            assert waiting.cancelled_caught
            seen = await scene.alice.properties()
            assert isinstance(seen["Paths"], dict)
            assert seen["Paths"]["wlan0"]["used_bytes"] == ("t", (1 << 64) - 1)
            private = {"Server", "Paths", "Profile", "Addresses", "TunName", "LastError"}
            for message in scene.bus.broadcast:
                values = message.body[1]
                assert isinstance(values, dict)
                assert not private & set(values)

    run(main)


def test_events_can_be_read_later_and_are_those_of_the_reader() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            session = await scene.connect(scene.alice)
            for number in range(3):
                session.emit(EventReported(kind=BusEventKind.PATH_UP, path=f"eth{number}"))
            (events,) = await scene.alice.call("GetEvents", 1, 1)
            assert isinstance(events, list)
            assert [(e["id"][1], e["kind"][1], e["path"][1]) for e in events] == [
                (2, "path-up", "eth1")
            ]
            await scene.alice.call("Disconnect")
            (events,) = await scene.alice.call("GetEvents", 0, 1000)
            assert isinstance(events, list)
            assert len(events) == 3
            session = await scene.connect(scene.bob)
            session.emit(EventReported(kind=BusEventKind.PATH_DOWN, path="wlan0"))
            (events,) = await scene.bob.call("GetEvents", 0, 1000)
            assert isinstance(events, list)
            assert [each["path"][1] for each in events] == ["wlan0"]
            await refused(scene.alice, BusError.NOT_AUTHORIZED, "GetEvents", 0, 10)
            (events,) = await scene.root.call("GetEvents", 0, 1000)
            assert isinstance(events, list)
            assert len(events) == 4

    run(main)


def test_a_flood_of_events_is_cut_off() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            session = await scene.connect(scene.alice)
            for _ in range(5000):
                session.emit(EventReported(kind=BusEventKind.PATH_UP))
            (events,) = await scene.alice.call("GetEvents", 0, 1000)
            assert isinstance(events, list)
            assert len(events) == 200

    run(main)


def test_statistics_only_while_somebody_listens() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            session = await scene.connect(scene.alice)
            assert session.wishes == [None]
            await scene.alice.call("Subscribe", 500)
            other = scene.bus.caller(ALICE)
            await other.call("Subscribe", 1)
            await scene.bob.call("Subscribe", 100)
            assert session.wishes == [None, 0.5, 0.1, 0.1]
            session.emit(PathStats(paths=(WLAN,), is_periodic=True))
            _, paths = await scene.alice.next_signal("Stats")
            assert isinstance(paths, dict)
            assert paths["wlan0"]["rtt_ms"] == ("d", 18.0)
            await scene.bus.drop(other)
            await scene.alice.call("Unsubscribe")
            assert session.wishes == [None, 0.5, 0.1, 0.1, 0.5, None]
            (rule,) = (
                scene.bus.matches[1:] if "login1" in scene.bus.matches[0] else scene.bus.matches
            )
            assert scene.bob.name in rule

    run(main)


def test_wishes_reach_the_session() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            for action in ("killswitch", "configure"):
                scene.bus.polkit_answers[f"org.mqvpn.{action}"] = ALL_GRANTED
            session = await scene.connect(scene.alice)
            session.wishes.clear()
            await scene.alice.call("SetPathPolicy", "wlan0", {"role": ("s", "backup")})
            await scene.alice.call("SetKillSwitch", "standard")
            await scene.alice.call("SetDns", {"dns": ("as", ["10.0.0.1"])})
            split_members = {"split_exclude": ("as", ["b.org", "::/8"]), "allow_lan": ("b", True)}
            await scene.alice.call("SetSplit", split_members)
            seen = await scene.alice.properties()
            assert seen["Split"] == {"split_exclude": ["::/8", "b.org"]}
            assert "Split" not in await scene.bob.properties()
            policy, mode, dns, split = session.wishes
            assert policy == ("wlan0", PathPolicy(role=PathRole.BACKUP))
            assert mode is KillSwitchMode.STANDARD
            assert "10.0.0.1" in str(dns)
            assert "allow_lan=True" in str(split)
            session.emit(SecretsNeeded())
            with Pipe(b"other") as secrets:
                await scene.alice.call("ProvideSecrets", secrets.fileno())
            assert session.secret == b"other"

    run(main)


def test_what_is_in_force_is_shown_and_told() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            await scene.alice.call("Subscribe", 0)
            session = await scene.connect(scene.alice)
            session.emit(KillSwitchChanged(mode=KillSwitchMode.STANDARD))
            session.emit(DnsApplied(method=DnsMethod.RESOLVED))
            session.emit(SecretsNeeded())
            kinds = [(await scene.alice.next_signal("Event"))[2] for _ in range(2)]
            assert kinds == ["killswitch", "dns"]
            assert await scene.alice.next_signal("SecretsNeeded") == ("home",)
            await scene.changed("KillSwitch", "standard")
            await scene.changed("DnsMethod", "systemd-resolved")

    run(main)


def test_a_portal_is_open_for_a_while_and_can_be_closed() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.polkit_answers["org.mqvpn.killswitch"] = ALL_GRANTED
            await refused(scene.alice, BusError.NOT_CONNECTED, "AllowPortal", "wlan0", 60)
            session = await scene.connect(scene.alice)
            session.wishes.clear()
            await scene.alice.call("AllowPortal", "wlan0", 60)
            await scene.changed("PortalInterface", "wlan0")
            assert len(session.wishes) == 1
            scene.bus.broadcast.clear()
            await scene.changed("PortalInterface", "")
            assert session.wishes[1:] == [None]
            await scene.alice.call("AllowPortal", "wlan0", 600)
            await scene.alice.call("AllowPortal", "wlan0", 0)
            await scene.changed("PortalUntil", 0)
            assert session.wishes[-1] is None

    run(main)


def test_a_tied_tunnel_ends_with_the_connection_that_asked_for_it() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            await scene.connect(scene.alice)
            await scene.alice.call("Subscribe", 0)
            await scene.bus.drop(scene.alice)
            await trio.sleep(5)
            assert (await scene.root.properties())["State"] == "up"
            await scene.root.call("Disconnect")
            other = scene.bus.caller(ALICE)
            await scene.connect(other, tied=("b", True))
            await scene.bus.drop(other)
            await scene.changed("State", "off")

    run(main)


def test_after_sleep_all_paths_are_looked_at_but_only_on_word_of_logind() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            manager = "org.freedesktop.login1.Manager"
            session = await scene.connect(scene.alice)
            session.wishes.clear()
            await trio.sleep(1)
            assert scene.bus.logind_locks == 1
            await scene.bus.send_signal(scene.bob.name, manager, "PrepareForSleep", "b", (False,))
            await scene.bus.send_signal(":1.0", manager, "PrepareForSleep", "b", (True,))
            await scene.bus.send_signal(":1.0", manager, "PrepareForSleep", "b", (False,))
            await trio.sleep(1)
            assert session.wishes == ["revalidate"]
            assert scene.bus.logind_locks == 2
            (events,) = await scene.alice.call("GetEvents", 0, 10)
            assert isinstance(events, list)
            assert [each["kind"][1] for each in events] == ["suspended", "resumed"]

    run(main)


def test_why_a_tunnel_failed_is_shown_to_its_owner_afterwards() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            session = await scene.connect(scene.alice)
            session.fail(SessionError(kind=BusError.CREDENTIALS, text="wrong key"))
            await scene.changed("State", "error")
            assert (await scene.alice.properties())["LastError"] == ("Credentials", "wrong key")
            await scene.connect(scene.alice)
            assert (await scene.alice.properties())["LastError"] == ("", "")

    run(main)


def test_a_session_that_breaks_takes_nobody_with_it() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            session = await scene.connect(scene.alice)
            session.fail(ValueError("a mistake of ours"))
            await scene.changed("State", "error")
            seen = await scene.alice.properties()
            assert seen["LastError"] == ("Failed", "the helper failed; its log has more")
            await scene.connect(scene.alice)
            await scene.changed("State", "up")

    run(main)


def test_a_kill_switch_that_a_crash_left_is_shown_and_released_on_request() -> None:
    async def main() -> None:
        machine = FakeMachine()
        machine.left_behind = KillSwitchMode.STANDARD
        async with helper_on_bus(machine=machine) as scene:
            seen = await scene.alice.properties()
            assert (seen["State"], seen["KillSwitch"]) == ("blocked", "standard")
            await scene.alice.call("Disconnect")
            seen = await scene.alice.properties()
            assert (seen["State"], seen["KillSwitch"]) == ("off", "off")

    run(main)


def test_a_kill_switch_that_is_left_belongs_to_who_wanted_it() -> None:
    async def main() -> None:
        machine = FakeMachine()
        async with helper_on_bus(machine=machine) as scene:
            await scene.connect(scene.alice)
            await trio.sleep(1)
        machine.left_behind = KillSwitchMode.STANDARD
        async with helper_on_bus(machine=machine) as scene:
            with Pipe(b"") as secrets:
                fd = secrets.fileno()
                await refused(scene.bob, BusError.NOT_AUTHORIZED, "Connect", PROFILE, fd)
            await refused(scene.bob, BusError.NOT_AUTHORIZED, "Disconnect")
            assert {action for _, action, _ in scene.bus.polkit_questions} == {"org.mqvpn.others"}
            scene.bus.polkit_answers.clear()
            await scene.alice.call("Disconnect")
            scene.bus.polkit_answers["org.mqvpn.connect"] = ALL_GRANTED
            await scene.connect(scene.bob)

    run(main)


def test_a_lasting_kill_switch_needs_its_own_permission() -> None:
    async def main() -> None:
        machine = FakeMachine()
        machine.left_behind = KillSwitchMode.ALWAYS
        async with helper_on_bus(machine=machine) as scene:
            await refused(scene.alice, BusError.NOT_CONNECTED, "Disconnect")
            await refused(scene.alice, BusError.NOT_AUTHORIZED, "SetKillSwitch", "off")
            scene.bus.polkit_answers["org.mqvpn.killswitch"] = ALL_GRANTED
            await scene.alice.call("SetKillSwitch", "off")
            assert (await scene.alice.properties())["State"] == "off"
            await refused(scene.alice, BusError.NOT_CONNECTED, "SetKillSwitch", "always")

    run(main)


def test_recover_ends_the_tunnel_and_says_what_did_not_work() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.polkit_answers["org.mqvpn.killswitch"] = ALL_GRANTED
            await scene.connect(scene.alice)
            await scene.alice.call("Recover")
            assert scene.machine.recovered == 1
            assert (await scene.alice.properties())["State"] == "off"
            scene.machine.is_broken = True
            assert await refused(scene.alice, BusError.HOST, "Recover") == "nft is not there"
            await scene.connect(scene.alice)

    run(main)


def test_the_report_names_nobody() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.polkit_answers["org.mqvpn.diagnose"] = ALL_GRANTED
            session = await scene.connect(scene.alice)
            session.emit(PathStats(paths=(WLAN,), is_periodic=False))
            (report,) = await scene.alice.call("CollectDiagnostics")
            assert hasattr(report, "to_raw_fd")
            fd = report.to_raw_fd()
            text = os.read(fd, 1 << 16).decode()
            os.close(fd)
            assert '"has_tun": true' in text
            for secret in ("vpn.example.org", "home", "wlan0", "s3cret"):
                assert secret not in text

    run(main)


def test_it_ends_when_nobody_needs_it_and_not_before() -> None:
    async def main() -> None:
        async with helper_on_bus(idle_seconds=60) as scene:
            await scene.alice.call("Subscribe", 0)
            await trio.sleep(200)
            assert not scene.bus.released_name.is_set()
            await scene.connect(scene.alice)
            await scene.alice.call("Unsubscribe")
            await trio.sleep(200)
            assert not scene.bus.released_name.is_set()
            await scene.alice.call("Disconnect")
            await trio.sleep(55)
            assert not scene.bus.released_name.is_set()
            await trio.sleep(25)
            assert scene.bus.released_name.is_set()

    run(main)


def test_names_that_are_gone_before_they_are_watched_are_noticed() -> None:
    async def main() -> None:
        async with helper_on_bus(idle_seconds=60) as scene:
            message = scene.alice.make_call("Subscribe", "u", (0,))
            await scene.bus.send(message)
            await scene.bus.drop(scene.alice)
            await trio.sleep(100)
            assert scene.bus.released_name.is_set()
            other = [rule for rule in scene.bus.matches if BUS in rule]
            assert other == []

    run(main)


def test_states_are_words_of_the_interface() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            assert (await scene.alice.properties())["State"] == TunnelState.OFF.value

    run(main)
