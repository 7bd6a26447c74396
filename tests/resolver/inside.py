"""What the tests of resolvers do inside a machine of their own: ``python -m ... SCENARIO DIRS``.

Each scenario ends with everything as it was: the file, and what the resolver knows.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from mqvpn_helper.host.operations import HostChanger
from mqvpn_helper.host.system_bus import SystemBus
from mqvpn_helper.interface.host_plan import (
    DnsMethod,
    HostPlan,
    KillSwitch,
    KillSwitchMode,
    ServerEndpoint,
)
from tests.resolver.name_servers import ANSWER, TunNameServer
from tests.resolver.private_machine import (
    RESOLV_CONF,
    make_machine,
    run,
    start,
    start_bus,
    wait_for,
)

_SERVER = ip_address("10.77.0.1")
_ETH_P_ALL = 3
_PACKET_OUTGOING = 4  # sent by the far end itself, where the resolver is as well
_USER = "systemd-resolve:x:61003:61003::/:/usr/sbin/nologin\n"
_MANAGER = "org.freedesktop.resolve1.Manager"
_RESOLVED = (
    *("org.freedesktop.resolve1", "/org/freedesktop/resolve1"),
    "org.freedesktop.DBus.Properties",
)


def _plan() -> HostPlan:
    return HostPlan(
        tun_name="mqvpn0",
        mtu=1400,
        addresses=(ip_interface("10.77.0.2/24"),),
        routes=(ip_network("0.0.0.0/0"),),
        bypass=(ip_address("203.0.113.7"),),
        dns=(_SERVER,),
        kill_switch=KillSwitch(
            mode=KillSwitchMode.STANDARD,
            servers=(ServerEndpoint(address=ip_address("203.0.113.7"), port=443),),
        ),
    )


@contextmanager
def _nothing_outside() -> Iterator[None]:
    """No question for a name leaves by the uplink meanwhile."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL)) as watching:
        watching.bind(("far0", _ETH_P_ALL))
        watching.setblocking(False)
        yield
        ports = set()
        while True:
            try:
                packet, (_, _, kind, *_) = watching.recvfrom(2000)
            except BlockingIOError:
                break
            if kind != _PACKET_OUTGOING and packet[0] >> 4 == 4 and packet[9] == 17:
                ports.add(int.from_bytes(packet[22:24], "big"))
        assert not ports & {53, 853, 5353, 5355}, ports


def _state(describe: Callable[[], str]) -> tuple[str, ...]:
    link = str(RESOLV_CONF.readlink()) if RESOLV_CONF.is_symlink() else "no link"
    extra = sorted(str(path) for path in Path("/etc").glob("*mqvpn*"))
    status = RESOLV_CONF.lstat()
    owner = f"{status.st_mode:o} {status.st_uid} {status.st_gid}"
    text = RESOLV_CONF.read_text()
    return (link, owner, text, *extra, describe(), run("nft", "list", "ruleset"))


def _check(method: DnsMethod, describe: Callable[[], str]) -> None:
    before = _state(describe)
    changer = HostChanger(Path("/run/mqvpn"))
    tun = changer.open_tun("mqvpn0")
    inside = TunNameServer(tun.fd)
    # What a resolver says to the local network before does not count.
    changer.apply(replace(_plan(), addresses=(), routes=(), dns=()))
    with _nothing_outside():
        report = changer.apply(_plan())
        assert report.dns_method is method, report
        assert report.warnings == (), report
        found = socket.getaddrinfo("vpn-only.example.org", 80, socket.AF_INET)
        assert found[0][4][0] == ANSWER
        assert (str(_SERVER), 53) in inside.seen
        assert not {port for _, port in inside.seen} & {5353, 5355}, inside.seen
        # Somebody else has had a say: the next plan sees to it.
        assert changer.apply(_plan()).dns_method is method
        changer.apply(replace(_plan(), dns=()))
        assert changer.apply(_plan()).dns_method is method
    changer.undo()
    inside.close()
    os.close(tun.fd)
    wait_for(lambda: _state(describe) == before, f"return to {before}, but {_state(describe)}")
    sys.stdout.write("names went through the tunnel, and everything is as before\n")
    _check_crash(before, describe)


def _check_crash(before: tuple[str, ...], describe: Callable[[], str]) -> None:
    child = os.fork()
    if child == 0:
        changer = HostChanger(Path("/run/mqvpn"))
        changer.open_tun("mqvpn0")
        changer.apply(_plan())
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    changer = HostChanger(Path("/run/mqvpn"))
    changer.recover()
    assert "kill_switch" in run("nft", "list", "ruleset")
    changer.recover(release_kill_switch=True)
    wait_for(lambda: _state(describe) == before, f"return to {before}, but {_state(describe)}")
    sys.stdout.write("after kill -9 as well\n")


def resolved() -> None:
    """systemd-resolved, with the stub as resolv.conf."""
    with Path("/etc/passwd").open("a") as file:
        file.write(_USER)
    with Path("/etc/group").open("a") as file:
        file.write("systemd-resolve:x:61003:\n")
    nsswitch = Path("/etc/nsswitch.conf")
    lines = nsswitch.read_text().splitlines() if nsswitch.exists() else []
    kept = [line for line in lines if not line.startswith("hosts:")]
    nsswitch.write_text("\n".join([*kept, "hosts: files dns", ""]))
    start_bus()
    stub = Path("/run/systemd/resolve")
    stub.mkdir(parents=True)
    os.chown(stub, 61003, 61003)
    RESOLV_CONF.symlink_to("/run/systemd/resolve/stub-resolv.conf")
    os.environ["SYSTEMD_LOG_TARGET"] = "console"
    start("/usr/lib/systemd/systemd-resolved")
    wait_for((stub / "stub-resolv.conf").exists, "systemd-resolved")

    def describe() -> str:
        asked = ("DNS", "Domains", "LLMNR")
        with SystemBus() as bus:
            return str([bus.call(_RESOLVED, "Get", "ss", (_MANAGER, name)) for name in asked])

    _check(DnsMethod.RESOLVED, describe)


def resolvconf() -> None:
    """Debian's resolvconf, or openresolv."""
    is_openresolv = b"openresolv" in Path("/usr/sbin/resolvconf").read_bytes()
    if is_openresolv:
        RESOLV_CONF.write_text("# Generated by resolvconf\nnameserver 192.0.2.53\n")
    else:
        RESOLV_CONF.symlink_to("/run/resolvconf/resolv.conf")
        Path("/run/resolvconf/interface").mkdir(parents=True)
        run("resolvconf", "--enable-updates")
    Path("/run/lease").write_text("nameserver 192.0.2.53\n")
    run("sh", "-c", "resolvconf -a eth0.dhcp < /run/lease")
    assert "192.0.2.53" in RESOLV_CONF.read_text()
    _check(DnsMethod.RESOLVCONF, lambda: run("resolvconf", "-l"))


def network_manager() -> None:
    """NetworkManager, which writes resolv.conf itself."""
    start_bus()
    # It believes that it is in a container, where there is no udev to wait for.
    run("mount", "--bind", "-o", "ro", "/sys", "/sys")
    Path("/etc/NetworkManager").mkdir(exist_ok=True)
    Path("/etc/NetworkManager/NetworkManager.conf").write_text(
        "[main]\nplugins=\nauth-polkit=false\nrc-manager=file\ndns=default\n"
        "[keyfile]\nunmanaged-devices=interface-name:mqvpn*;interface-name:far0\n"
    )
    Path("/run/NetworkManager/system-connections").mkdir(parents=True)
    profile = Path("/run/NetworkManager/system-connections/eth0.nmconnection")
    profile.write_text(
        "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n"
        "[ipv4]\nmethod=manual\naddress1=192.0.2.2/24,192.0.2.1\ndns=192.0.2.53;\n"
        "[ipv6]\nmethod=disabled\n"
    )
    profile.chmod(0o600)
    run("ip", "addr", "flush", "dev", "eth0")
    run("ip", "link", "set", "eth0", "down")
    start("/usr/sbin/NetworkManager", "--debug", "--log-level=INFO")
    wait_for(
        lambda: RESOLV_CONF.exists() and "192.0.2.53" in RESOLV_CONF.read_text(),
        "resolv.conf by NetworkManager",
    )
    _check(
        DnsMethod.NETWORK_MANAGER,
        lambda: str(sorted(path.name for path in Path("/run/NetworkManager/conf.d").glob("*"))),
    )


def file() -> None:
    """Nothing but the file."""
    RESOLV_CONF.write_text("# by hand\nnameserver 192.0.2.53\n")
    RESOLV_CONF.chmod(0o640)
    _check(DnsMethod.FILE, str)


def mounted_file() -> None:
    """The file is a mount of its own, as in a container: it cannot be replaced."""
    RESOLV_CONF.touch()
    own = Path("/run/resolv.conf")
    own.write_text("# by the container\nnameserver 192.0.2.53\n")
    run("mount", "--bind", str(own), str(RESOLV_CONF))
    _check(DnsMethod.FILE, str)


def dead_resolver() -> None:
    """resolv.conf leads to systemd-resolved, but it is not there: the file is used."""
    Path("/run/systemd/resolve").mkdir(parents=True)
    Path("/run/systemd/resolve/stub-resolv.conf").write_text("nameserver 127.0.0.53\n")
    RESOLV_CONF.symlink_to("../run/systemd/resolve/stub-resolv.conf")
    _check(DnsMethod.FILE, str)


SCENARIOS: dict[str, Callable[[], None]] = {
    scenario.__name__: scenario
    for scenario in (resolved, resolvconf, network_manager, file, mounted_file, dead_resolver)
}

if __name__ == "__main__":
    make_machine([Path(package) for package in sys.argv[2:]])
    SCENARIOS[sys.argv[1]]()
