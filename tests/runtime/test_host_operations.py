"""One suite for every implementation of the host operations: the core must not see a difference."""

import os
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import TypeVar

import pytest
import trio
import trio.testing
from trio._core import _thread_cache

from mqvpn_core.errors import HostError
from mqvpn_core.ids import IfIndex
from mqvpn_core.runtime.host_operations import HostOperations, LinkInfo
from mqvpn_core.runtime.local_host import LocalHost
from mqvpn_core.runtime.tun_device import TunDevice
from mqvpn_core.testing.fake_host import FakeHost
from mqvpn_helper.interface.host_plan import HostPlan
from tests.helper.namespaces import add_uplink, fresh_namespace, run

FAR = ip_address("198.51.100.1")
T = TypeVar("T")


@dataclass
class Machine:
    """A host, and what the tests need to know of the machine it works on."""

    host: HostOperations
    taken_name: str


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    # A worker thread stays in the namespace it was started in; ours must not be an older one.
    monkeypatch.setattr(_thread_cache, "THREAD_CACHE", _thread_cache.ThreadCache())
    with fresh_namespace():
        add_uplink()
        yield Machine(host=LocalHost(tmp_path / "state"), taken_name="eth0")


@pytest.fixture
def fake() -> Iterator[Machine]:
    host = FakeHost()
    host.taken_names.add("eth0")
    host.links[FAR] = LinkInfo(
        ifindex=IfIndex(2), name="eth0", source=ip_address("192.0.2.2"), mtu=1500
    )
    yield Machine(host=host, taken_name="eth0")
    host.close()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.netns)])
def machine(request: pytest.FixtureRequest) -> Machine:
    made: Machine = request.getfixturevalue(request.param)
    return made


def plan_for(name: str) -> HostPlan:
    return HostPlan(
        tun_name=name,
        mtu=1400,
        addresses=(ip_interface("10.0.0.2/32"),),
        routes=(ip_network("0.0.0.0/0"),),
        bypass=(ip_address("203.0.113.7"),),
    )


def run_soon(main: Callable[[], Awaitable[T]]) -> T:
    async def limited() -> T:
        with trio.fail_after(10):
            return await main()

    return trio.run(limited)


def test_from_the_device_to_the_end(machine: Machine) -> None:
    async def main() -> None:
        host = machine.host
        tun = await host.open_tun(None)
        assert await host.recover() == ()
        device = TunDevice(tun.fd)
        assert tun.ifindex > 0
        for _ in range(2):
            assert (await host.apply(plan_for(tun.name))).warnings == ()
        device.read_packets(64)
        await host.undo()
        await host.undo()
        device.close()
        await host.undo()

    run_soon(main)


def test_owner_has_a_name_that_fits_a_header(machine: Machine) -> None:
    async def main() -> None:
        tun = await machine.host.open_tun("vpn-7", keep_leftovers=True)
        assert re.fullmatch(r"[A-Za-z0-9_-]{8,64}", tun.instance)
        os.close(tun.fd)

    run_soon(main)


def test_wanted_name_is_given(machine: Machine) -> None:
    async def main() -> None:
        tun = await machine.host.open_tun("vpn-7")
        assert tun.name == "vpn-7"
        os.close(tun.fd)

    run_soon(main)


def test_taken_name_is_refused(machine: Machine) -> None:
    async def main() -> None:
        with pytest.raises(HostError, match="exists already"):
            await machine.host.open_tun(machine.taken_name)

    run_soon(main)


def test_descriptor_does_not_block(machine: Machine) -> None:
    async def main() -> None:
        tun = await machine.host.open_tun(None)
        with pytest.raises(BlockingIOError):
            os.read(tun.fd, 2000)
        os.close(tun.fd)

    run_soon(main)


def test_plan_for_a_device_that_is_not_ours(machine: Machine) -> None:
    async def main() -> None:
        with pytest.raises(HostError, match="not our TUN device"):
            await machine.host.apply(plan_for("mqvpn0"))
        tun = await machine.host.open_tun("mqvpn0")
        with pytest.raises(HostError, match="not our TUN device"):
            await machine.host.apply(plan_for(machine.taken_name))
        os.close(tun.fd)

    run_soon(main)


def test_impossible_mtu(machine: Machine) -> None:
    async def main() -> None:
        tun = await machine.host.open_tun(None)
        plan = plan_for(tun.name)
        with_ipv6 = replace(plan, addresses=(ip_interface("fd00::2/128"),))
        for impossible in (replace(plan, mtu=67), replace(with_ipv6, mtu=1279)):
            with pytest.raises(HostError, match="cannot be the MTU"):
                await machine.host.apply(impossible)
        await machine.host.undo()
        os.close(tun.fd)

    run_soon(main)


def test_undo_before_anything_was_done(machine: Machine) -> None:
    run_soon(machine.host.undo)


def test_link_is_found_beside_the_tunnel(machine: Machine) -> None:
    async def main() -> None:
        before = await machine.host.link_towards(FAR)
        assert before is not None
        assert (before.name, str(before.source), before.mtu) == ("eth0", "192.0.2.2", 1500)
        tun = await machine.host.open_tun(None)
        await machine.host.apply(plan_for(tun.name))
        assert await machine.host.link_towards(FAR) == before
        assert await machine.host.link_towards(ip_address("2001:db8::1")) is None
        await machine.host.undo()
        os.close(tun.fd)

    if isinstance(machine.host, LocalHost):
        run("ip -6 route flush table main")
    run_soon(main)


def test_cancellation_leaves_no_half_done_change(machine: Machine) -> None:
    async def main() -> None:
        tun = await machine.host.open_tun(None)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(machine.host.apply, plan_for(tun.name))
                await trio.lowlevel.checkpoint()
                scope.cancel()
        await machine.host.apply(plan_for(tun.name))
        await machine.host.undo()
        os.close(tun.fd)

    run_soon(main)


@pytest.mark.netns
def test_changes_of_the_local_host_happen_one_at_a_time(real: Machine) -> None:
    async def main() -> str:
        tun = await real.host.open_tun("mqvpn0")
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(real.host.apply, plan_for(tun.name))
        shown = run("ip route show proto 110")
        await real.host.undo()
        os.close(tun.fd)
        return shown

    assert run_soon(main).count("\n") == 1


def test_fake_remembers_and_refuses_on_demand(fake: Machine) -> None:
    host = fake.host
    assert isinstance(host, FakeHost)

    async def main() -> None:
        tun = await host.open_tun(None)
        host.refusal = "no more room"
        with pytest.raises(HostError, match="no more room"):
            await host.apply(plan_for(tun.name))
        host.warnings = ("mind the gap",)
        report = await host.apply(plan_for(tun.name))
        assert report.warnings == ("mind the gap",)
        assert host.plan == plan_for(tun.name)
        await host.undo()
        in_force: HostPlan | None = host.plan
        assert in_force is None
        assert (host.plans, host.undo_count) == ([plan_for(tun.name)], 1)
        host.leftovers = ("an old route",)
        assert await host.recover() == ("an old route",)
        assert await host.recover() == ()
        os.close(tun.fd)

    run_soon(main)


def test_fake_device_carries_packets_both_ways(fake: Machine) -> None:
    host = fake.host
    assert isinstance(host, FakeHost)

    async def main() -> None:
        tun = await host.open_tun(None)
        device = TunDevice(tun.fd)
        host.send_into_tun([b"\x45 one", b"\x45 two"])
        await device.wait_readable()
        assert device.read_packets(8) == [b"\x45 one", b"\x45 two"]
        assert device.write_packets([b"\x45 three"]) == 0
        assert host.packets_from_tun() == [b"\x45 three"]
        assert host.packets_from_tun() == []
        device.close()

    run_soon(main)
