"""What happens on the tunnel link itself: answering echoes, and proving that 1280 bytes fit.

Owns RFC 9484 s7.2: "IP proxying endpoints also need to properly reply to packets destined to
link-local multicast addresses" and the ICMPv6 echo with 1232 bytes of data that shows whether the
link meets IPv6's minimum MTU. The kernel cannot do it for us: our TUN device has no link-local
address, and link-local packets never pass the filter.
"""

import enum
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from mqvpn_core.errors import DecodeError
from mqvpn_core.ids import Instant
from mqvpn_core.wire.code_points import IpProtocol
from mqvpn_core.wire.icmp import IcmpEcho, compose_icmp_echo, decode_icmp_echo
from mqvpn_core.wire.ip_addresses import is_link_local, is_single_host
from mqvpn_core.wire.ip_packets import IpHeader, decode_ip_header

IPV6_MIN_MTU: Final = 1280
"""RFC 8200 s5: every link that carries IPv6 has at least this MTU."""
ALL_NODES: Final = IPv6Address("ff02::1")
"""Every node on the link: the target when the peer's address is not known (RFC 9484 s7.2)."""

_ECHO_DATA: Final = bytes(range(256)) * 4 + bytes(range(208))
"""1232 bytes: with the headers of IPv6 and ICMPv6 exactly 1280."""
_ICMPV6: Final = int(IpProtocol.ICMPV6)
_OUR_LINK_LOCAL: Final = IPv6Address("fe80::1")
_IDENTIFIER: Final = 0x4D51
_ATTEMPTS: Final = 8
"""As long as the peer's path MTU discovery may take: it has to answer in full size."""
_INTERVAL: Final = 1.0


def answer_link_local_echo(
    packet: bytes, header: IpHeader, local: IPv4Address | IPv6Address | None
) -> bytes | None:
    """Answer an ICMPv6 echo request to all nodes or to a link-local address of ours.

    Args:
        packet: what came from the peer.
        header: its decoded header.
        local: our own IPv6 address, if we have one.

    Returns:
        The reply, or None when the packet is anything else.
    """
    if header.protocol != _ICMPV6 or not is_single_host(header.source):
        return None
    to_all_nodes = header.destination == ALL_NODES.packed
    if len(header.destination) != len(ALL_NODES.packed) or not (
        to_all_nodes or is_link_local(header.destination)
    ):
        return None
    try:
        echo = decode_icmp_echo(packet, header)
    except DecodeError:
        return None
    if echo is None or echo.is_reply:
        return None
    reply = IcmpEcho(
        is_reply=True,
        identifier=echo.identifier,
        sequence_number=echo.sequence_number,
        data=echo.data,
    )
    # RFC 4443 s4.2: the source of a reply to a unicast address is that address; otherwise one of
    # our own. There is exactly one other node on this link, so any link-local address is us.
    source = IPv6Address(header.destination)
    if to_all_nodes:
        source = local if isinstance(local, IPv6Address) else _OUR_LINK_LOCAL
    return compose_icmp_echo(reply, source, IPv6Address(header.source))


class MtuProofState(enum.Enum):
    """How far the proof is."""

    TOO_SMALL = "too small"
    """Our own HTTP Datagrams do not carry 1280 bytes yet; path MTU discovery may still help."""
    WAITING = "waiting"
    """An echo request is on its way."""
    PROVEN = "proven"
    """The peer answered, or nobody asked for a proof."""
    FAILED = "failed"
    """No answer in time, or the MTU stayed too small."""


class MtuProof:
    """Proves that the link carries 1280 bytes both ways, or fails (RFC 9484 s7.2).

    A: ``state``, ``source``
    B: ``handle_timeout``, ``take_answers``, ``change_mtu``
    D: ``next_timeout``; ``take_requests`` gives the packets to send
    """

    def __init__(
        self,
        source: IPv6Address,
        targets: Sequence[IPv6Address],
        *,
        grace: float,
        wants_echo: bool = True,
    ) -> None:
        """Prepare a proof.

        Args:
            source: our own address.
            targets: whom to ask, in turn.
            grace: seconds that path MTU discovery may take to reach 1280 bytes.
            wants_echo: ask the peer; otherwise our own MTU is proof enough.
        """
        self.state = MtuProofState.TOO_SMALL
        self.source = source
        """Our own address."""
        self._targets = tuple(targets)
        self._grace = grace
        self._wants_echo = wants_echo
        self._attempt_count = 0
        self._deadline: Instant | None = None
        self._requests: list[bytes] = []

    def change_mtu(self, mtu: int, now: Instant) -> None:
        """Say how large a packet our own HTTP Datagrams carry now."""
        if self.state is MtuProofState.FAILED:
            return
        if mtu < IPV6_MIN_MTU:
            if self.state is not MtuProofState.TOO_SMALL or self._deadline is None:
                self.state = MtuProofState.TOO_SMALL
                self._deadline = Instant(now + self._grace)
        elif self.state is MtuProofState.TOO_SMALL:
            self._attempt_count = 0
            if self._wants_echo:
                self.state = MtuProofState.WAITING
                self._ask(now)
            else:
                self.state = MtuProofState.PROVEN
                self._deadline = None

    def handle_timeout(self, now: Instant) -> None:
        """Ask again, or give up."""
        if self._deadline is None or now < self._deadline:
            return
        if self.state is MtuProofState.WAITING and self._attempt_count < _ATTEMPTS:
            self._ask(now)
        else:
            self.state = MtuProofState.FAILED
            self._deadline = None

    def next_timeout(self) -> Instant | None:
        """Return when `handle_timeout` is due."""
        return self._deadline

    def take_requests(self) -> list[bytes]:
        """Return echo requests to send to the peer."""
        requests, self._requests = self._requests, []
        return requests

    def take_answers(self, packets: Sequence[bytes]) -> Sequence[bytes]:
        """Take the answer out of a batch from the peer; return the rest."""
        if self.state is not MtuProofState.WAITING:
            return packets
        rest = [packet for packet in packets if not self._is_answer(packet)]
        if len(rest) < len(packets):
            self.state = MtuProofState.PROVEN
            self._deadline = None
        return rest

    def _ask(self, now: Instant) -> None:
        target = self._targets[self._attempt_count % len(self._targets)]
        echo = IcmpEcho(
            is_reply=False,
            identifier=_IDENTIFIER,
            sequence_number=self._attempt_count,
            data=_ECHO_DATA,
        )
        self._requests.append(compose_icmp_echo(echo, self.source, target))
        self._attempt_count += 1
        self._deadline = Instant(now + _INTERVAL)

    def _is_answer(self, packet: bytes) -> bool:
        if len(packet) != IPV6_MIN_MTU:
            return False
        try:
            header = decode_ip_header(packet)
            echo = decode_icmp_echo(packet, header)
        except DecodeError:
            return False
        return (
            echo is not None
            and echo.is_reply
            and header.destination == self.source.packed
            and echo.identifier == _IDENTIFIER
            and echo.sequence_number < self._attempt_count
            and echo.data == _ECHO_DATA
        )
