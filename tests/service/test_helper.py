"""A tunnel's life as its callers see it, and when the helper ends."""

import trio
from typing_extensions import override

from mqvpn_helper.interface.bus_names import BusError, TunnelState
from mqvpn_helper.interface.host_plan import KillSwitchMode
from mqvpn_helper.interface.tunnel_settings import PathPolicy, PathRole
from mqvpn_helper.session.events import (
    SecretsNeeded,
)
from tests.service.fake_bus import BUS
from tests.service.refusals import refused
from tests.service.scene import (
    ALICE,
    ALL_GRANTED,
    PROFILE,
    FakeMachine,
    Pipe,
    helper_on_bus,
    run,
)


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
