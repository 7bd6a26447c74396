"""What ``mqvpn-core status`` shows of a client."""

import os
from collections.abc import Mapping

from mqvpn_core.app.version import program_version
from mqvpn_core.config import ClientConfig
from mqvpn_core.dataplane.kernel import KERNEL_NAME
from mqvpn_core.ids import SocketAddress
from mqvpn_core.masque.drop_reasons import PacketCounters
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.statistics import PathStatistics
from mqvpn_core.runtime.client_supervisor import ClientSupervisor
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_core.runtime.status_values import PathStatus, Status, encode_status_values
from mqvpn_core.runtime.tunnel_attempt import TunnelAttempts
from mqvpn_core.tunnel.lifecycle import Connected, Connecting, Reconnecting

_MILLISECONDS = 1000.0


def client_status(
    config: ClientConfig, supervisor: ClientSupervisor, attempts: TunnelAttempts, tun_name: str
) -> JsonValue:
    """Take a snapshot of a client."""
    state = supervisor.state
    assignment = state.assignment if isinstance(state, Connected | Reconnecting) else None
    paths: tuple[PathStatus, ...] = ()
    counters: dict[str, int] = {}
    if attempts.live is not None:
        dialled, session = attempts.live
        paths = path_statuses(dialled.connection, dialled.link_names)
        counters = packet_counts(session.counters)
        counters["refused_by_host"] = dialled.driver.refused_packet_count
    return encode_status_values(
        Status(
            role="client",
            state=_state_name(supervisor),
            seconds_in_state=read_clock() - supervisor.state_since,
            version=program_version(),
            pid=os.getpid(),
            kernel=KERNEL_NAME,
            tun_name=tun_name,
            mtu=0 if assignment is None else assignment.mtu,
            server=str(config.server),
            addresses=() if assignment is None else tuple(map(str, assignment.addresses)),
            paths=paths,
            counters=counters,
        )
    )


def _state_name(supervisor: ClientSupervisor) -> str:
    """Name the state; a tunnel without its addresses and routes is not connected yet."""
    if isinstance(supervisor.state, Connected) and not supervisor.is_host_current:
        return Connecting.__name__.lower()
    return type(supervisor.state).__name__.lower()


def packet_counts(counters: PacketCounters) -> dict[str, int]:
    """Return counters by name."""
    drops = {f"dropped: {reason.value}": count for reason, count in counters.drops.items()}
    return {
        "sent_packets": counters.sent_packet_count,
        "sent_bytes": counters.sent_bytes,
        "received_packets": counters.received_packet_count,
        "received_bytes": counters.received_bytes,
        "icmp_errors": counters.icmp_error_count,
        **drops,
    }


def path_statuses(
    connection: MultipathConnection, link_names: Mapping[SocketAddress, str]
) -> tuple[PathStatus, ...]:
    """Return the paths of a connection as the status shows them.

    Args:
        connection: the connection.
        link_names: names of links by the local address of their paths.
    """
    return tuple(
        _path_status(path, link_names.get(path.four_tuple.local, ""))
        for path in connection.statistics().paths
    )


def text_of(address: SocketAddress) -> str:
    """Return ``HOST:PORT``."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def _path_status(path: PathStatistics, interface: str) -> PathStatus:
    return PathStatus(
        id=path.path_id,
        interface=interface,
        local=text_of(path.four_tuple.local),
        remote=text_of(path.four_tuple.remote),
        state=path.state,
        srtt_ms=path.smoothed_rtt * _MILLISECONDS,
        min_rtt_ms=path.min_rtt * _MILLISECONDS,
        loss=path.lost_packets / path.sent_packets if path.sent_packets else 0.0,
        congestion_window=path.congestion_window,
        tx_bytes=path.sent_bytes,
        rx_bytes=path.received_bytes,
        tx_packets=path.sent_packets,
        rx_packets=path.received_packets,
        mtu=path.max_datagram_size,
    )
