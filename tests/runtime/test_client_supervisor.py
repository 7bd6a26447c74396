"""The lifecycle carried out: attempts in their time, the host touched no more than needed."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
import trio

from mqvpn_core.errors import HostError
from mqvpn_core.runtime.client_supervisor import (
    RESTORE_LIMIT,
    AttemptReporter,
    ClientSupervisor,
    SupervisorParts,
)
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_core.tunnel.backoff import Backoff, BackoffConfig
from mqvpn_core.tunnel.host_plan import ClientFacts, ClientHostSettings, client_host_plan
from mqvpn_core.tunnel.lifecycle import Blocked, Connected, Failure, FailureKind, Reconnecting
from mqvpn_helper.interface.host_plan import HostPlan, HostReport
from tests.runtime.virtual_time import run_virtual

A = Assignment(
    addresses=(IPv4Interface("10.0.0.2/32"),),
    routes=(IPv4Network("10.9.0.0/16"),),
    mtu=1380,
    server=IPv4Address("192.0.2.1"),
)
B = replace(A, addresses=(IPv4Interface("10.0.0.9/32"),))
SETTINGS = ClientHostSettings(tun_name="mqvpn0", manage_routes=True, everything=False)
SILENT = Failure(kind=FailureKind.UNREACHABLE, message="no answer")
LOST = Failure(kind=FailureKind.LOST, message="gone")
WRONG_KEY = Failure(kind=FailureKind.CREDENTIALS, message="wrong key")

Act = Callable[[AttemptReporter], Awaitable[Failure]]


class RecordingHost:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.log: list[object] = []
        self.refusal: HostError | None = None
        self.undo_takes = 0.0
        self.warnings: tuple[str, ...] = ()

    async def apply(self, plan: HostPlan) -> HostReport:
        await trio.sleep(0.01)
        if self.refusal is not None:
            raise self.refusal
        self.log.append(plan.addresses)
        return HostReport(warnings=self.warnings)

    async def undo(self) -> None:
        await trio.sleep(self.undo_takes)
        self.log.append("undo")


class Scene:
    """A supervisor whose attempts follow a script."""

    def __init__(self, *acts: Act, reconnect: bool = True) -> None:
        self.acts = list(acts)
        self.host = RecordingHost()
        self.started: list[float] = []
        self.ended_in_order: list[bool] = []
        self.began = read_clock()
        self.supervisor = ClientSupervisor(
            SupervisorParts(
                host=self.host,
                attempt=self.attempt,
                plan=lambda assignment: client_host_plan(
                    SETTINGS, ClientFacts(assignment=assignment)
                ),
                backoff=Backoff(BackoffConfig(), bytes),
                reconnect=reconnect,
            )
        )

    async def attempt(self, reporter: AttemptReporter) -> Failure:
        self.started.append(read_clock() - self.began)
        act = self.acts.pop(0) if self.acts else fail(SILENT)
        try:
            return await act(reporter)
        finally:
            # As a real attempt does: the close is sent without waiting.
            self.ended_in_order.append(True)


def fail(failure: Failure, *, after: float = 0.0) -> Act:
    async def act(reporter: AttemptReporter) -> Failure:
        del reporter
        await trio.sleep(after)
        return failure

    return act


def up(*assignments: Assignment, lasting: float = 60.0, ending: Failure = LOST) -> Act:
    async def act(reporter: AttemptReporter) -> Failure:
        await reporter.up(assignments[0])
        for assignment in assignments[1:]:
            await reporter.changed(assignment)
        await trio.sleep(lasting)
        return ending

    return act


async def crash(reporter: AttemptReporter) -> Failure:
    del reporter
    await trio.lowlevel.checkpoint()
    raise RuntimeError("planted")


def test_connect_and_disconnect() -> None:
    async def main() -> None:
        scene = Scene(up(A))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.supervisor.run)
            await trio.sleep(1.0)
            assert isinstance(scene.supervisor.state, Connected)
            await scene.supervisor.disconnect()
        assert scene.host.log == [A.addresses, "undo"]
        assert scene.ended_in_order == [True]

    run_virtual(main)


def test_the_host_is_not_current_while_it_is_being_changed() -> None:
    async def main() -> None:
        scene = Scene(up(A))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.supervisor.run)
            seen: list[tuple[bool, bool]] = []
            while not seen or not seen[-1][1]:
                await trio.sleep(0.001)
                if isinstance(scene.supervisor.state, Connected):
                    seen.append((bool(scene.host.log), scene.supervisor.is_host_current))
            assert (False, False) in seen
            assert seen[-1] == (True, True)
            await scene.supervisor.disconnect()

    run_virtual(main)


def test_disconnect_while_connecting_leaves_the_host_alone() -> None:
    async def main() -> None:
        scene = Scene(fail(SILENT, after=100.0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.supervisor.run)
            await trio.sleep(1.0)
            await scene.supervisor.disconnect()
        assert read_clock() - scene.began < 1.1
        assert scene.host.log == []

    run_virtual(main)


def test_attempts_are_retried_within_a_second() -> None:
    async def main() -> None:
        scene = Scene(*[fail(SILENT)] * 20, up(A))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.supervisor.run)
            await trio.sleep(60.0)
            await scene.supervisor.disconnect()
        gaps = [b - a for a, b in zip(scene.started, scene.started[1:], strict=False)]
        assert len(gaps) == 20
        assert max(gaps) < 1.0
        assert min(gaps) > 0.05

    run_virtual(main)


def test_an_outage_keeps_the_host_and_a_swap_changes_it_once() -> None:
    async def main() -> None:
        scene = Scene(up(A), fail(SILENT), fail(WRONG_KEY), up(A), fail(SILENT), up(B))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.supervisor.run)
            await trio.sleep(150.0)
            assert isinstance(scene.supervisor.state, Connected)
            await scene.supervisor.disconnect()
        assert scene.host.log == [A.addresses, B.addresses, "undo"]

    run_virtual(main)


def test_a_user_who_was_removed_asks_seldom_and_comes_back_when_added_again() -> None:
    async def main() -> None:
        scene = Scene(up(A), *[fail(WRONG_KEY)] * 20, up(A, lasting=1000.0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.supervisor.run)
            await trio.sleep(360.0)
            meanwhile = scene.supervisor.state
            assert isinstance(meanwhile, Reconnecting)
            assert len(scene.started) < 20
            await trio.sleep(400.0)
            assert isinstance(scene.supervisor.state, Connected)
            await scene.supervisor.disconnect()

    run_virtual(main)


def test_the_loss_of_a_stable_tunnel_is_followed_at_once() -> None:
    async def main() -> None:
        scene = Scene(up(A, lasting=60.0), up(A))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.supervisor.run)
            await trio.sleep(61.0)
            await scene.supervisor.disconnect()
        assert scene.started[1] < 60.1

    run_virtual(main)


def test_a_tunnel_that_does_not_last_is_not_hammered() -> None:
    async def main() -> None:
        scene = Scene(*[up(A, lasting=0.0)] * 1000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.supervisor.run)
            await trio.sleep(30.0)
            await scene.supervisor.disconnect()
        assert len(scene.started) < 50

    run_virtual(main)


def test_changes_of_a_live_tunnel_reach_the_host() -> None:
    async def main() -> None:
        scene = Scene(up(A, A, B))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.supervisor.run)
            await trio.sleep(1.0)
            await scene.supervisor.disconnect()
        assert scene.host.log == [A.addresses, B.addresses, "undo"]

    run_virtual(main)


@pytest.mark.parametrize("reconnect", [True, False])
def test_a_wrong_key_ends_the_run(*, reconnect: bool) -> None:
    async def main() -> None:
        scene = Scene(fail(WRONG_KEY), reconnect=reconnect)
        assert await scene.supervisor.run() == WRONG_KEY
        assert scene.supervisor.state == Blocked(cause=WRONG_KEY)
        assert scene.host.log == []

    run_virtual(main)


def test_without_reconnect_the_first_loss_ends_the_run_and_restores_the_host() -> None:
    async def main() -> None:
        scene = Scene(up(A), reconnect=False)
        assert await scene.supervisor.run() == LOST
        assert scene.host.log == [A.addresses, "undo"]

    run_virtual(main)


def test_a_host_that_refuses_ends_the_run() -> None:
    async def main() -> None:
        scene = Scene(up(A))
        scene.host.refusal = HostError("address: not permitted")
        failure = await scene.supervisor.run()
        assert failure == Failure(kind=FailureKind.HOST, message="address: not permitted")
        assert scene.host.log == ["undo"]
        assert scene.ended_in_order == [True]

    run_virtual(main)


def test_a_warning_of_the_host_is_shown_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        scene = Scene(up(A, B, A), reconnect=False)
        scene.host.warnings = ("no IPv6 here",)
        await scene.supervisor.run()

    run_virtual(main)
    assert caplog.text.count("no IPv6 here") == 1


def test_an_internal_error_costs_one_tunnel(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        scene = Scene(up(A), crash, up(A))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.supervisor.run)
            await trio.sleep(65.0)
            assert isinstance(scene.supervisor.state, Connected)
            await scene.supervisor.disconnect()
        assert scene.host.log == [A.addresses, "undo"]

    run_virtual(main)
    assert "planted" in caplog.text


@pytest.mark.parametrize("after", [0.0, 0.005, 0.5, 60.05, 61.0])
def test_cancellation_restores_the_host(after: float) -> None:
    async def main() -> None:
        scene = Scene(up(A))
        with trio.move_on_after(after):
            await scene.supervisor.run()
        if after > 0:
            assert scene.host.log[-1] == "undo"
        assert scene.host.log.count("undo") == (after > 0)

    run_virtual(main)


def test_a_hanging_restore_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        scene = Scene(up(A), reconnect=False)
        scene.host.undo_takes = 1000.0
        await scene.supervisor.run()
        assert read_clock() - scene.began < 61.0 + RESTORE_LIMIT

    run_virtual(main)
    assert "next start cleans up" in caplog.text


def test_the_same_failure_is_shown_once_per_outage(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        scene = Scene(*[fail(SILENT)] * 5, up(A), *[fail(SILENT)] * 5, up(A))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.supervisor.run)
            await trio.sleep(66.0)
            await scene.supervisor.disconnect()

    run_virtual(main)
    shown = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert shown == ["no answer", "gone", "no answer"]


def test_state_while_reconnecting() -> None:
    async def main() -> None:
        scene = Scene(up(A), fail(SILENT, after=5.0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.supervisor.run)
            await trio.sleep(62.0)
            assert scene.supervisor.state == Reconnecting(assignment=A, attempt=1)
            assert 1.0 < read_clock() - scene.supervisor.state_since < 3.0
            await scene.supervisor.disconnect()

    run_virtual(main)
