"""A helper after one that died: the tunnel comes again, or its kill switch is looked after."""

import os

import trio
from typing_extensions import override

from mqvpn_helper.interface.bus_names import TunnelState
from mqvpn_helper.interface.host_plan import FIREWALL_IS_BACK, KillSwitchMode
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.session.events import SecretsNeeded, StateChanged
from mqvpn_helper.session.tunnel_memory import WantedTunnel, Wish
from tests.service.scene import ALICE, FakeMachine, Pipe, helper_on_bus, run

_PROFILE = Profile.from_mapping(
    {"server": "vpn.example.org", "name": "home", "kill_switch": "standard"}
)


def _machine(secret: Pipe | None) -> FakeMachine:
    machine = FakeMachine()
    machine.owner = ALICE
    machine.left_behind = KillSwitchMode.STANDARD
    machine.remembered = WantedTunnel(
        wish=Wish(profile=_PROFILE),
        owner=ALICE,
        secret=None if secret is None else os.dup(secret.fileno()),
        attempts=1,
    )
    return machine


def test_the_tunnel_of_the_last_helper_comes_again_and_is_still_its_users() -> None:
    async def main() -> None:
        with Pipe(b"s3cret") as secret:
            machine = _machine(secret)
        async with helper_on_bus(machine=machine) as scene:
            seen = await scene.alice.properties()
            assert (seen["Owner"], seen["Profile"]) == (ALICE, "home")
            await scene.changed("State", "up")
            assert scene.sessions[0].secret == b"s3cret"
            (events,) = await scene.alice.call("GetEvents", 0, 100)
            assert "brings the tunnel up again" in str(events)
            assert "Profile" not in await scene.bob.properties()
            assert not machine.is_holding
            await scene.alice.call("Disconnect")
            assert scene.bus.polkit_questions == []

    run(main)


def test_calls_wait_until_everything_is_in_order() -> None:
    class SlowMachine(FakeMachine):
        @override
        async def reconcile(self) -> tuple[str, ...]:
            await trio.sleep(5)
            self.left_behind = KillSwitchMode.ALWAYS
            return ()

    async def main() -> None:
        async with helper_on_bus(machine=SlowMachine()) as scene:
            seen = await scene.alice.properties()
            assert (seen["State"], seen["KillSwitch"]) == ("blocked", "always")

    run(main)


def test_a_kill_switch_without_a_tunnel_keeps_the_helper_and_is_put_back() -> None:
    async def main() -> None:
        machine = FakeMachine()
        machine.owner = ALICE
        machine.left_behind = KillSwitchMode.STANDARD
        async with helper_on_bus(machine=machine, idle_seconds=60) as scene:
            await trio.sleep(1000)
            assert not scene.bus.released_name.is_set()
            machine.emptied.set()
            await trio.sleep(1)
            (events,) = await scene.alice.call("GetEvents", 0, 100)
            assert FIREWALL_IS_BACK in str(events)
            await scene.alice.call("Disconnect")
            assert not machine.is_holding
            await trio.sleep(100)
            assert scene.bus.released_name.is_set()

    run(main)


def test_a_tunnel_looks_after_its_own_kill_switch() -> None:
    async def main() -> None:
        machine = FakeMachine()
        machine.left_behind = KillSwitchMode.STANDARD
        held = []
        async with helper_on_bus(machine=machine) as scene:
            await scene.alice.properties()
            held.append(machine.is_holding)
            session = await scene.connect(scene.alice)
            await scene.changed("State", "up")
            held.append(machine.is_holding)
            session.fail(ValueError("x"))
            await scene.changed("State", "blocked")
            await trio.sleep(1)
            held.append(machine.is_holding)
        assert held == [True, False, True]

    run(main)


def test_a_secret_that_is_missing_is_asked_for_whenever_its_owner_listens() -> None:
    async def main() -> None:
        async with helper_on_bus(machine=_machine(None)) as scene:
            await scene.alice.properties()
            (session,) = scene.sessions
            assert session.secret is None
            session.emit(StateChanged(state=TunnelState.BLOCKED))
            session.emit(SecretsNeeded())
            for caller in (scene.alice, scene.bob):
                await caller.call("Subscribe", 0)
            assert await scene.alice.next_signal("SecretsNeeded") == ("home",)
            session.emit(StateChanged(state=TunnelState.CONNECTING))
            other = scene.bus.caller(ALICE)
            await other.call("Subscribe", 0)
            for caller in (scene.bob, other):
                with trio.move_on_after(5) as scope:
                    await caller.next_signal("SecretsNeeded")
                assert scope.cancelled_caught

    run(main)
