"""Values that tests of sessions share."""

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, ip_address, ip_network

from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.control_messages import (
    CoreMessage,
    Disconnect,
    Done,
    EventReport,
    FailureReport,
    FindLink,
    Hello,
    HelperMessage,
    LeaveNetwork,
    LinkFound,
    LinkKind,
    LinkUsage,
    PathReport,
    PathsReport,
    PathState,
    PathUse,
    Refused,
    Revalidate,
    SetPath,
    Start,
    StateReport,
    UsageReport,
    UseNetwork,
    UseServers,
    WantStats,
)
from mqvpn_helper.interface.network_rules import MachineNetworks
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import PathPolicy, PathRole
from mqvpn_helper.session.request_rules import MachineFacts

PIN = "sha256/" + "A" * 43 + "="
FULL_PROFILE = {
    "name": "home",
    "server": "vpn.example.org:4433",
    "server_name": "other.example.org",
    "server_addresses": ["203.0.113.2", "2001:db8::2"],
    "pins": [PIN],
    "ca_certificates": "-----BEGIN CERTIFICATE-----\n",
    "insecure": False,
    "template": "/vpn/{target}/{ipproto}/",
    "ipv4": True,
    "ipv6": True,
    "inner_networks": ["10.0.0.0/8", "fd00::/8"],
    "tun_name": "mqvpn7",
    "mtu": 1400,
    "routes": "advertised",
    "dns": ["10.0.0.53"],
    "kill_switch": "standard",
    "split_exclude": ["198.51.100.0/24", "bank.example.org"],
    "split_include": ["0.0.0.0/0", "localhost"],
    "split_cgroups": ["user.slice/app.scope"],
    "allow_lan": True,
    "paths": ["wlan0", "wwan*"],
    "ignore_interfaces": ["docker*"],
    "roles": {"wwan*": "backup"},
    "caps": {"wwan0": 5_000_000_000},
    "rate_limits": {"wwan0": 125_000},
    "scheduler": "minrtt",
    "keep_alive": 10.0,
    "idle_timeout": 20.0,
    "reconnect": True,
    "tied": True,
}
"""A value for every member."""
PATH = PathReport(
    interface="wlan0",
    kind=LinkKind.WIRELESS,
    state=PathState.ACTIVE,
    role=PathUse.PRIMARY,
    rtt_ms=12.5,
    jitter_ms=1.5,
    loss=0.01,
    rx_bps=1000,
    tx_bps=2000,
    share=0.5,
    metered=False,
    mtu=1350,
    used_bytes=123456,
    cap_bytes=5_000_000_000,
)
NETWORK = UseNetwork(
    id=3,
    mtu=1340,
    addresses=(IPv4Interface("10.0.0.2/32"), IPv6Interface("fd00::2/128")),
    routes=(IPv4Network("10.0.0.0/24"),),
    links=("wlan0",),
    excluded=(ip_address("198.51.100.7"),),
    included=(ip_address("2001:db8::7"),),
)
CORE_MESSAGES: tuple[CoreMessage, ...] = (
    Hello(protocol=1),
    UseServers(id=1, addresses=(ip_address("203.0.113.2"), ip_address("2001:db8::2"))),
    NETWORK,
    LeaveNetwork(id=4),
    FindLink(id=5, address=ip_address("203.0.113.2")),
    StateReport(state=TunnelState.UP, reason="connected"),
    PathsReport(paths=(PATH,), is_periodic=True),
    EventReport(kind=BusEventKind.FAILOVER, path="wlan0", detail={"gap_ms": 12.5, "text": "x"}),
    UsageReport(usage=LinkUsage(month="2026-11", bytes_by_link=(("wlan0", 5), ("wwan0", 7)))),
    FailureReport(kind=BusError.CREDENTIALS, text="the server does not accept the key"),
)
"""One of each kind."""
HELPER_MESSAGES: tuple[HelperMessage, ...] = (
    Start(
        profile=Profile.from_mapping(FULL_PROFILE),
        tun_name="mqvpn7",
        ifindex=7,
        instance="AbC_-1",
        servers=(ip_address("203.0.113.2"),),
        usage=LinkUsage(month="2026-11", bytes_by_link=(("wlan0", 5),)),
        name_servers=(ip_address("192.0.2.53"),),
    ),
    Done(id=1, warnings=("something",)),
    LinkFound(id=2, ifindex=3, name="wlan0", source=ip_address("192.0.2.2"), mtu=1500),
    LinkFound(id=2, ifindex=0),
    Refused(id=3, reason="no"),
    SetPath(interface="wlan0", policy=PathPolicy(role=PathRole.BACKUP, cap_bytes=0)),
    WantStats(interval=0.5),
    Revalidate(),
    Disconnect(),
)
"""One of each kind."""
LAN = "192.168.1.0/24"
GATEWAY = "192.168.1.1"
TUN_IFINDEX = 9
MACHINE = MachineFacts(
    networks=MachineNetworks(
        networks=(ip_network(LAN), ip_network("2001:db8:1::/64")),
        gateways=(ip_address(GATEWAY),),
        addresses=(ip_address("192.168.1.20"), ip_address("2001:db8:1::20")),
    ),
    link_names=frozenset({"lo", "wlan0", "mqvpn0"}),
    tun_name="mqvpn0",
)
"""A machine in a home network, with a tunnel."""
