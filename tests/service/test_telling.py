"""What users get to see: properties, events, statistics, errors, the report."""

import os

import trio

from mqvpn_helper.interface.bus_names import BusError, BusEventKind
from mqvpn_helper.interface.host_plan import DnsMethod, KillSwitchMode
from mqvpn_helper.session.events import (
    DnsApplied,
    EventReported,
    KillSwitchChanged,
    PathStats,
    SecretsNeeded,
    SessionError,
)
from tests.service.refusals import refused
from tests.service.samples import WLAN
from tests.service.scene import (
    ALICE,
    ALL_GRANTED,
    Scene,
    helper_on_bus,
    run,
)


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
            assert seen["Paths"]["wlan0"]["cap_bytes"] == ("t", 5_000_000_000)
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


async def _report(scene: Scene) -> str:
    (report,) = await scene.alice.call("CollectDiagnostics")
    assert hasattr(report, "to_raw_fd")
    fd = report.to_raw_fd()
    text = os.read(fd, 1 << 16).decode()
    os.close(fd)
    return text


def test_the_report_names_nobody() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.polkit_answers["org.mqvpn.diagnose"] = ALL_GRANTED
            session = await scene.connect(scene.alice)
            session.emit(PathStats(paths=(WLAN,), is_periodic=False))
            session.emit(
                EventReported(
                    kind=BusEventKind.PATH_UP, path="wwan9", detail={"text": "at 198.51.100.9"}
                )
            )
            alive = await _report(scene)
            assert '"has_tun": true' in alive
            assert '"rtt_ms": 18.0' in alive
            failure = SessionError(kind=BusError.CORE_DIED, text="203.0.113.5 does not answer")
            session.fail(failure)
            await scene.changed("State", "error")
            dead = await _report(scene)
            assert failure.kind.value in dead
            # Nor how much somebody has used of what the month has.
            secrets = ["vpn.example.org", "home", "wlan0", "wwan9", "s3cret", "used_bytes"]
            secrets += ["198.51.100", "203.0.113"]
            assert [each for each in secrets if each in alive + dead] == []

    run(main)
