"""The ground the other tests stand on: as drawn, and nothing of it outlives its holder."""

import os
from pathlib import Path

import pytest

from mqvpn_core.demo.namespaces import NetworkNamespace, namespaces
from mqvpn_core.demo.topology import SERVER_IPV4, SERVER_IPV6, WEB_IPV4, WEB_IPV6
from mqvpn_core.errors import HostError
from tests.e2e.topology import Lab, eventually

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.mark.parametrize("destination", [SERVER_IPV4, SERVER_IPV6])
def test_client_reaches_the_server(lab: Lab, destination: str) -> None:
    assert lab.ping(lab.world.client, destination, count=1).code == 0


@pytest.mark.parametrize("destination", [WEB_IPV4, WEB_IPV6])
def test_only_a_tunnel_leads_to_the_web_host(lab: Lab, destination: str) -> None:
    assert lab.ping(lab.world.server, destination, count=1).code == 0
    assert lab.ping(lab.world.client, destination, count=1).code != 0


def test_this_machine_sees_nothing_of_it(lab: Lab) -> None:
    """The links of the world exist only inside."""
    assert "wlan0" in lab.world.client.links()
    here = {path.name for path in Path("/sys/class/net").iterdir()}
    assert not {"wlan0", "lte0", "w0", "l0", "r0", "lan0"} & here


def test_processes_end_with_their_namespace(tmp_path: Path) -> None:
    with namespaces("short") as (short,):
        process = short.start(["sleep", "1000"], tmp_path / "log")
        assert process.poll() is None
    assert process.returncode == -15


def test_processes_are_killed_when_the_thread_of_their_namespace_is_gone(tmp_path: Path) -> None:
    """What the kernel does when the holder dies without cleaning up."""
    short = NetworkNamespace("short")
    process = short.start(["sh", "-c", "trap '' TERM; sleep 1000"], tmp_path / "log")
    short.call(short._netlink.close)
    short._thread.shutdown()
    eventually(lambda: process.poll() is not None, 5, "end of the process")
    assert process.returncode == -9


def test_namespace_is_gone_with_its_holder() -> None:
    with namespaces("short") as (short,):
        inside = os.stat(short.path).st_ino  # noqa: PTH116 - follows the link into the kernel
        assert inside != os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116 - the same
        path = short.path
    eventually(lambda: not Path(path).exists(), 5, "end of the namespace")


def test_missing_link_is_named() -> None:
    with namespaces("short") as (short,), pytest.raises(HostError, match=r"short.*nosuch0"):
        short.counters("nosuch0")
