"""Host plans that tests use again and again."""

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

from mqvpn_helper.interface.host_plan import (
    HostPlan,
    KillSwitch,
    KillSwitchMode,
    ServerEndpoint,
    Split,
)

SERVER4 = ip_address("203.0.113.7")
SERVER6 = ip_address("2001:db8:ffff::7")


def client_plan(tun_name: str) -> HostPlan:
    """Return the plan of a client that sends everything through the tunnel."""
    return HostPlan(
        tun_name=tun_name,
        mtu=1400,
        addresses=(ip_interface("10.0.0.2/32"), ip_interface("fd00::2/128")),
        routes=(ip_network("0.0.0.0/0"), ip_network("::/0")),
        bypass=(SERVER4, SERVER6),
    )


def careful_plan(tun_name: str) -> HostPlan:
    """Return the plan of a client with kill switch, an excluded network and a strict link."""
    switch = KillSwitch(
        mode=KillSwitchMode.STANDARD,
        servers=(
            ServerEndpoint(address=SERVER4, port=443),
            ServerEndpoint(address=SERVER6, port=443),
        ),
    )
    return replace(
        client_plan(tun_name),
        kill_switch=switch,
        split=Split(networks=(ip_network("198.51.100.0/24"), ip_network("2001:db8:99::/48"))),
        links=("eth0",),
    )


def server_plan(tun_name: str) -> HostPlan:
    """Return the plan of a server with both families, NAT and isolated clients."""
    return HostPlan(
        tun_name=tun_name,
        mtu=1400,
        addresses=(ip_interface("10.0.0.1/24"), ip_interface("fd00::1/64")),
        forward_ipv4=True,
        forward_ipv6=True,
        nat_sources=(ip_network("10.0.0.0/24"), ip_network("fd00::/64")),
        isolate_clients=True,
    )
