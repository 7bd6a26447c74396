"""What a session leaves to the next helper, and when it leaves nothing."""

import trio
from typing_extensions import override

from mqvpn_helper.interface.bus_names import BusError, TunnelState
from mqvpn_helper.interface.control_messages import FailureReport
from mqvpn_helper.interface.host_plan import KillSwitchMode
from mqvpn_helper.interface.tunnel_settings import PathPolicy, PathRole
from mqvpn_helper.session.events import SecretsNeeded, StateChanged
from mqvpn_helper.session.tunnel_memory import Wish
from tests.session.stage import (
    SECRET,
    FakeSessionHost,
    PlayedCore,
    Stage,
    perform,
    secret_pipe,
    up,
)


async def _disconnect_soon(stage: Stage) -> None:
    await trio.sleep(5)
    stage.session.disconnect()


async def _helper_ends_soon(stage: Stage) -> None:
    await trio.sleep(5)
    stage.session.disconnect(keep_kill_switch=True)


def _wishes(stage: Stage) -> list[tuple[Wish, bool]]:
    return [each for each in stage.memory.kept if isinstance(each, tuple)]


def test_wish_and_secret_are_kept_before_the_core_and_until_the_user_ends_the_tunnel() -> None:
    async def look(core: PlayedCore) -> None:
        assert core.secret == SECRET
        await up(core)

    class Watching(FakeSessionHost):
        @override
        async def undo(self, *, keep_kill_switch: bool) -> None:
            assert stages[0].memory.is_empty
            await super().undo(keep_kill_switch=keep_kill_switch)

    stages: list[Stage] = []

    async def disconnect(stage: Stage) -> None:
        stages.append(stage)
        await trio.sleep(5)
        (first, had_worked), (_, has_worked) = _wishes(stage)
        assert (first.profile.host, had_worked, has_worked) == ("203.0.113.2", False, True)
        assert stage.memory.kept[1] == SECRET
        stage.session.disconnect()

    stage = perform(look, meanwhile=disconnect, host=Watching())
    assert stage.host.undone == [False]
    assert stage.memory.is_empty


def test_a_helper_that_ends_leaves_the_tunnel_to_the_next_one() -> None:
    stage = perform(up, meanwhile=_helper_ends_soon, kill_switch="standard")
    assert stage.host.undone == [True]
    assert not stage.memory.is_empty


def test_later_wishes_are_kept_too() -> None:
    async def change(stage: Stage) -> None:
        await trio.sleep(5)
        stage.session.set_kill_switch(KillSwitchMode.STANDARD)
        stage.session.set_path_policy("lte0", PathPolicy(role=PathRole.BACKUP))
        stage.session.set_path_policy("lte0", PathPolicy(cap_bytes=7))
        await trio.sleep(5)
        stage.session.disconnect(keep_kill_switch=True)

    stage = perform(up, meanwhile=change)
    last, has_worked = _wishes(stage)[-1]
    assert has_worked
    assert last.profile.kill_switch is KillSwitchMode.STANDARD
    assert last.policies == (("lte0", PathPolicy(role=PathRole.BACKUP, cap_bytes=7)),)


def test_a_tunnel_that_cannot_be_had_is_forgotten() -> None:
    async def refused(core: PlayedCore) -> None:
        await core.greet()
        await core.send(FailureReport(kind=BusError.CERTIFICATE, text="another pin"))

    stage = perform(refused)
    assert stage.end.error is not None
    assert stage.memory.is_empty
    busy = FakeSessionHost()
    busy.refusal = "no TUN device"
    assert perform(up, host=busy).memory.is_empty


def test_a_lost_secret_is_asked_for_behind_the_kill_switch() -> None:
    async def give(stage: Stage) -> None:
        await trio.sleep(1000)
        assert stage.states == [TunnelState.CONNECTING, TunnelState.BLOCKED]
        assert stage.of(SecretsNeeded) == [SecretsNeeded()]
        assert [plan.kill_switch is not None for plan in stage.host.plans] == [True]
        assert not stage.launcher.cores
        # Somebody empties the firewall while nobody has the secret.
        stage.host.removal.set()
        await trio.sleep(1)
        assert len(stage.host.plans) == 2
        stage.session.provide_secrets(secret_pipe())
        await trio.sleep(5)
        assert stage.session.state is TunnelState.UP
        stage.session.disconnect()

    stage = perform(up, meanwhile=give, secret=None, kill_switch="standard")
    assert stage.launcher.cores[0].secret == SECRET
    assert SECRET in stage.memory.kept
    blocked = next(e for e in stage.of(StateChanged) if e.state is TunnelState.BLOCKED)
    assert blocked.error is not None
    assert blocked.error.kind is BusError.CREDENTIALS


def test_nobody_waits_for_ever_for_a_lost_secret_without_a_kill_switch() -> None:
    stage = perform(up, secret=None)
    assert stage.end.error is not None
    assert stage.end.error.kind is BusError.CREDENTIALS
    assert stage.memory.is_empty
    assert stage.host.undone == [False]
