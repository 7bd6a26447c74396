"""What ``mqvpn-core status`` shows of a client."""

import os

from mqvpn_core.app.client_parts import ClientParts
from mqvpn_core.app.local_time import read_wall_clock
from mqvpn_core.app.path_status import connection_counts, path_statuses, send_loss_counts
from mqvpn_core.app.version import program_version
from mqvpn_core.dataplane.kernel import KERNEL_CHOICE
from mqvpn_core.masque.drop_reasons import PacketCounters
from mqvpn_core.runtime.client_supervisor import ClientSupervisor
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_core.runtime.status_values import PathStatus, Status, encode_status_values
from mqvpn_core.tunnel.lifecycle import Connected, Connecting, Reconnecting
from mqvpn_helper.interface.host_plan import DnsMethod


def client_status(parts: ClientParts) -> JsonValue:
    """Take a snapshot of a client."""
    config, supervisor, attempts = parts.config, parts.supervisor, parts.attempts
    method = parts.keeper.dns_method
    state = supervisor.state
    assignment = state.assignment if isinstance(state, Connected | Reconnecting) else None
    paths: tuple[PathStatus, ...] = ()
    counters: dict[str, int] = {}
    now = read_clock()
    if attempts.live is not None and attempts.live_watch is not None:
        dialled, session = attempts.live
        paths = path_statuses(
            dialled.connection,
            attempts.live_watch,
            lambda four_tuple: dialled.link_names.get(four_tuple.local, ""),
            now,
        )
        counters = packet_counts(session.counters) | connection_counts(dialled.connection)
        counters |= send_loss_counts(dialled.driver.send_losses)
        counters["refused_by_host"] = dialled.driver.refused_packet_count
        counters["bypassed_packets"] = dialled.driver.bypassed_packet_count
    return encode_status_values(
        Status(
            role="client",
            state=_state_name(supervisor),
            seconds_in_state=now - supervisor.state_since,
            taken_at=read_wall_clock(),
            version=program_version(),
            pid=os.getpid(),
            scheduler=attempts.scheduler.value,
            kernel=KERNEL_CHOICE.name,
            kernel_reason=KERNEL_CHOICE.reason,
            tun_name=parts.tun_name,
            mtu=0 if assignment is None else assignment.mtu,
            server=str(config.server),
            addresses=() if assignment is None else tuple(map(str, assignment.addresses)),
            kill_switch=config.kill_switch.value,
            portal=parts.portal.interface,
            portal_seconds=parts.portal.seconds_left,
            dns_method="" if method is DnsMethod.NONE else method.value,
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
