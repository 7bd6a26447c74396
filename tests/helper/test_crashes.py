"""A process killed between any two steps leaves nothing that the next start does not undo."""

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from typing_extensions import override

from mqvpn_helper.host.operations import HostChanger
from mqvpn_helper.interface.host_plan import HostPlan
from tests.helper.namespaces import MachineState, machine_state, run
from tests.helper.plans import SERVER4, careful_plan, client_plan, server_plan

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.usefixtures("namespace")]

_MAX_STEPS = 200


class _KillAt(logging.Handler):
    """Kills the process at the n-th step: every step is announced in the log before it is taken."""

    def __init__(self, steps_left: int) -> None:
        super().__init__(logging.DEBUG)
        self._steps_left = steps_left

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self._steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._steps_left -= 1


def _dies_at(step: int, work: Callable[[], None]) -> bool:
    """Do the work in a child that is killed at a step; return whether it got that far."""
    child = os.fork()
    if child == 0:
        logger = logging.getLogger("mqvpn_helper.host")
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(_KillAt(step))
        try:
            work()
        except BaseException:
            logging.getLogger(__name__).exception("the child failed")
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def _kill_everywhere(
    work: Callable[[], None],
    state: Path,
    before: MachineState,
    least_steps: int,
    stride: int = 1,
) -> None:
    for step in range(0, _MAX_STEPS, stride):
        killed = _dies_at(step, work)
        HostChanger(state).recover(release_kill_switch=True)
        assert machine_state() == before, f"killed at step {step}"
        assert [path.name for path in state.glob("*.journal")] == []
        if not killed:
            assert step >= least_steps
            return
    pytest.fail("the work never ends")


@pytest.mark.parametrize(
    ("make_plan", "least_steps", "stride"),
    # What only the last has comes in runs of like steps, most of which the first shares with it.
    [(client_plan, 20, 1), (server_plan, 25, 1), (careful_plan, 30, 3)],
)
def test_killed_at_every_step_of_apply_and_undo(
    tmp_path: Path, make_plan: Callable[[str], HostPlan], least_steps: int, stride: int
) -> None:
    state = tmp_path / "state"
    Path("/proc/sys/net/ipv4/conf/eth0/rp_filter").write_text("1", encoding="ascii")

    def work() -> None:
        changer = HostChanger(state)
        tun = changer.open_tun("mqvpn0")
        changer.apply(make_plan(tun.name))
        changer.undo()
        os.close(tun.fd)

    _kill_everywhere(work, state, machine_state(), least_steps, stride)


def test_killed_at_every_step_of_recovery(tmp_path: Path) -> None:
    state = tmp_path / "state"
    before = machine_state()

    def leave_everything() -> None:
        changer = HostChanger(state)
        changer.apply(server_plan(changer.open_tun("mqvpn0").name))
        os.kill(os.getpid(), signal.SIGKILL)

    for step in range(_MAX_STEPS):
        _dies_at(_MAX_STEPS, leave_everything)
        assert machine_state() != before
        killed = _dies_at(step, lambda: _recover(state))
        HostChanger(state).recover()
        assert machine_state() == before, f"recovery killed at step {step}"
        if not killed:
            assert step >= 5
            return
    pytest.fail("recovery never ends")


def _recover(state: Path) -> None:
    HostChanger(state).recover()


def test_restart_after_a_kill_duplicates_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"

    def be_killed_at_work() -> None:
        changer = HostChanger(state)
        changer.recover()
        changer.apply(client_plan(changer.open_tun("mqvpn0").name))
        os.kill(os.getpid(), signal.SIGKILL)

    before = machine_state()
    for _ in range(3):
        _dies_at(_MAX_STEPS, be_killed_at_work)
    assert run(f"ip route show {SERVER4}").count("\n") == 1
    changer = HostChanger(state)
    # Without recover(): taking the name over is enough.
    tun = changer.open_tun("mqvpn0")
    assert run("ip route show proto 110") == ""
    changer.apply(client_plan(tun.name))
    assert run(f"ip route show {SERVER4}").count("\n") == 1
    assert run("ip route show proto 109").count("\n") == 2
    assert run("ip route show proto 110").count("\n") == 1
    changer.undo()
    os.close(tun.fd)
    assert machine_state() == before


def test_successor_keeps_what_a_dead_server_had(tmp_path: Path) -> None:
    """Rules and forwarding never lapse, so that the kernel resets no connection of a client."""
    before = machine_state()
    state = tmp_path / "state"
    _dies_at(_MAX_STEPS * 2, lambda: _serve_until_killed(state))
    dead = machine_state()
    changer = HostChanger(state)
    tun = changer.open_tun("mqvpn0", keep_leftovers=True)
    assert changer.recover() == ()
    assert (machine_state().firewall, _forwarding()) == (dead.firewall, ["1", "1"])
    changer.apply(server_plan(tun.name))
    assert (machine_state().firewall, _forwarding()) == (dead.firewall, ["1", "1"])
    changer.undo()
    os.close(tun.fd)
    assert machine_state() == before


def test_successor_that_needs_less_takes_the_rest_back(tmp_path: Path) -> None:
    before = machine_state()
    state = tmp_path / "state"
    _dies_at(_MAX_STEPS * 2, lambda: _serve_until_killed(state))
    changer = HostChanger(state)
    tun = changer.open_tun("mqvpn0", keep_leftovers=True)
    changer.apply(client_plan(tun.name))
    assert (machine_state().firewall, _forwarding()) == (before.firewall, ["0", "0"])
    changer.undo()
    os.close(tun.fd)
    assert machine_state() == before


def test_successor_killed_at_every_step(tmp_path: Path) -> None:
    state = tmp_path / "state"
    before = machine_state()

    def succeed() -> None:
        changer = HostChanger(state)
        tun = changer.open_tun("mqvpn0", keep_leftovers=True)
        changer.recover()
        changer.apply(server_plan(tun.name))
        changer.undo()

    for step in range(_MAX_STEPS):
        _dies_at(_MAX_STEPS * 2, lambda: _serve_until_killed(state))
        killed = _dies_at(step, succeed)
        HostChanger(state).recover(release_kill_switch=True)
        assert machine_state() == before, f"killed at step {step}"
        if not killed:
            assert step >= 15
            return
    pytest.fail("the work never ends")


def _serve_until_killed(state: Path) -> None:
    changer = HostChanger(state)
    changer.apply(server_plan(changer.open_tun("mqvpn0").name))
    os.kill(os.getpid(), signal.SIGKILL)


def _forwarding() -> list[str]:
    keys = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
    return [Path("/proc/sys/net", key).read_text().strip() for key in keys]


def test_next_owner_of_a_device_has_the_name_of_a_dead_one(tmp_path: Path) -> None:
    state = tmp_path / "state"
    reader, writer = os.pipe()

    def be_killed() -> None:
        changer = HostChanger(state)
        changer.open_tun("mqvpn0")
        os.write(writer, changer.instance.encode())
        os.kill(os.getpid(), signal.SIGKILL)

    _dies_at(_MAX_STEPS, be_killed)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        name = pipe.read()
    assert len(name) == 12
    changer = HostChanger(state)
    tun = changer.open_tun("mqvpn0")
    assert changer.instance == name
    other = HostChanger(state)
    os.close(other.open_tun("mqvpn1").fd)
    assert other.instance != name
    changer.undo()
    os.close(tun.fd)
    # An orderly end is the end of the name.
    os.close(changer.open_tun("mqvpn0").fd)
    assert changer.instance != name


def test_recovery_without_a_journal(tmp_path: Path) -> None:
    """The journal is gone (a service manager cleaned up): routes and tables are recognised."""
    before = machine_state()
    state = tmp_path / "state"

    def be_killed_at_work() -> None:
        for name, make_plan in (("mqvpn0", client_plan), ("mqvpn1", server_plan)):
            changer = HostChanger(state)
            changer.apply(make_plan(changer.open_tun(name).name))
        os.kill(os.getpid(), signal.SIGKILL)

    _dies_at(_MAX_STEPS * 2, be_killed_at_work)
    for path in state.glob("*.journal"):
        path.unlink()
    found = HostChanger(state).recover()
    assert f"removed a forgotten route to {SERVER4}" in found
    assert "removed the forgotten firewall table of mqvpn1" in found
    # Only the settings cannot be told from the administrator's own without a journal.
    assert machine_state().firewall == before.firewall
    assert run("ip -4 route show proto 110") + run("ip -6 route show proto 110") == ""


def test_recovery_of_an_untouched_machine_finds_nothing(tmp_path: Path) -> None:
    before = machine_state()
    assert HostChanger(tmp_path / "state").recover() == ()
    assert machine_state() == before
