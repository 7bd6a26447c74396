"""How a session ends: cores that die or give up, a helper that ends, and what stays in force."""

from contextlib import suppress
from pathlib import Path

import trio

from mqvpn_helper.interface.bus_names import BusError, TunnelState
from mqvpn_helper.interface.control_messages import (
    FailureReport,
)
from mqvpn_helper.interface.host_plan import KillSwitchMode
from mqvpn_helper.interface.tunnel_settings import (
    DnsSettings,
)
from mqvpn_helper.session.events import (
    Ended,
    KillSwitchChanged,
    SessionError,
    StateChanged,
)
from mqvpn_helper.session.tunnel_session import MAX_DEATHS
from tests.session.stage import (
    FakeSessionHost,
    PlayedCore,
    Stage,
    perform,
    up,
)
from tests.session.stories import CREDENTIALS, dies_at_once, disconnect_soon, whole_tunnel


def test_cores_that_only_die_are_given_up_and_everything_is_undone() -> None:
    stage = perform(dies_at_once)
    assert len(stage.launcher.cores) == MAX_DEATHS + 1
    assert stage.end.error is not None
    assert stage.end.error.kind is BusError.CORE_DIED
    assert stage.host.undone == [False]
    assert stage.states[-1] is TunnelState.ERROR


def test_behind_a_kill_switch_giving_up_means_to_stay_blocked() -> None:
    async def wait(stage: Stage) -> None:
        while TunnelState.BLOCKED not in stage.states:  # noqa: ASYNC110 - in virtual time
            await trio.sleep(1)
        await trio.sleep(1000)
        assert stage.host.undone == []
        stage.session.disconnect()

    stage = perform(dies_at_once, meanwhile=wait, kill_switch="standard")
    blocked = next(e for e in stage.of(StateChanged) if e.state is TunnelState.BLOCKED)
    assert blocked.error is not None
    assert blocked.error.kind is BusError.CORE_DIED
    assert stage.end == Ended(error=None)
    assert stage.host.undone == [False]


def test_who_switches_the_kill_switch_off_is_not_blocked_any_more() -> None:
    async def switch_off(stage: Stage) -> None:
        while TunnelState.BLOCKED not in stage.states:  # noqa: ASYNC110 - in virtual time
            await trio.sleep(1)
        stage.session.set_dns(DnsSettings())
        await trio.sleep(5)
        assert not stage.host.undone
        stage.session.set_kill_switch(KillSwitchMode.OFF)

    stage = perform(dies_at_once, meanwhile=switch_off, kill_switch="standard")
    assert stage.end.error is not None
    assert stage.end.error.kind is BusError.CORE_DIED
    assert stage.host.undone == [False]


def test_nobody_answers_for_a_secret_for_ever() -> None:
    async def refused(core: PlayedCore) -> None:
        await core.greet()
        await core.send(CREDENTIALS)

    stage = perform(refused)
    assert stage.end == Ended(error=SessionError(kind=BusError.CREDENTIALS, text=CREDENTIALS.text))


def test_a_core_that_gives_up_ends_the_session() -> None:
    async def fails(core: PlayedCore) -> None:
        await core.greet()
        await core.send(FailureReport(kind=BusError.CERTIFICATE, text="wrong pin"))

    stage = perform(fails)
    assert stage.end == Ended(error=SessionError(kind=BusError.CERTIFICATE, text="wrong pin"))
    assert len(stage.launcher.cores) == 1


def test_a_session_that_is_cancelled_keeps_its_kill_switch() -> None:
    async def interrupt(_stage: Stage) -> None:
        await trio.sleep(5)
        raise KeyboardInterrupt

    host = FakeSessionHost()
    with suppress(BaseExceptionGroup):
        perform(up, meanwhile=interrupt, host=host, kill_switch="standard")
    assert host.undone == [True]


def test_no_descriptor_is_left_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    perform(dies_at_once)
    perform(whole_tunnel, meanwhile=disconnect_soon)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_helper_that_has_to_end_leaves_the_kill_switch() -> None:
    async def disconnect(stage: Stage) -> None:
        await trio.sleep(1)
        stage.session.disconnect(keep_kill_switch=True)

    stage = perform(whole_tunnel, meanwhile=disconnect, kill_switch="standard")
    assert stage.host.undone == [True]
    assert stage.end == Ended(error=None)
    assert [event.mode for event in stage.of(KillSwitchChanged)] == [KillSwitchMode.STANDARD]


def test_a_kill_switch_that_is_always_in_force_is_never_told_to_be_off() -> None:
    stage = perform(up, meanwhile=disconnect_soon, kill_switch="always")
    assert stage.host.undone == [False]
    assert [each.mode for each in stage.of(KillSwitchChanged)] == [KillSwitchMode.ALWAYS]
