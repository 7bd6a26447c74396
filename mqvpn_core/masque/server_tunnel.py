"""Server: one accepted tunnel: leases, routes of its scope, packets.

Owns what the client has been given and how address requests are answered. Addresses are assigned
unprompted right after the response, which saves the client a round trip; an ADDRESS_REQUEST is
answered from the same leases. RFC 9484 s4.6, s4.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from typing import Final, assert_never

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.ids import Instant, StreamId
from mqvpn_core.masque.address_pool import AddressPool, Lease
from mqvpn_core.masque.connect_ip import (
    AddressesAssigned,
    AddressesRequested,
    PeerFinished,
    RoutesAdvertised,
    StreamDatagramReceived,
    StreamEvent,
)
from mqvpn_core.masque.drop_reasons import PacketCounters
from mqvpn_core.masque.forwarding import TunnelEnd
from mqvpn_core.masque.http3_port import Http3
from mqvpn_core.masque.link_local import ALL_NODES, MtuProofState
from mqvpn_core.masque.packet_filter import FilterRules
from mqvpn_core.masque.route_ranges import RangeList
from mqvpn_core.masque.server_policy import ServerPolicy
from mqvpn_core.masque.tunnel_bypass import TunnelBypass
from mqvpn_core.masque.tunnel_link import TunnelLink
from mqvpn_core.wire.address_capsules import AssignedAddress, IpAddress, RequestedAddress

_FAMILIES: Final = (4, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelOwner:
    """Who a tunnel belongs to."""

    user: str | None
    """The named user; None for the shared key."""
    instance: str
    """Which client of the user; empty when it did not say."""

    @property
    def lease_user(self) -> str:
        """Name in the lease table; no named user is called the empty string."""
        return self.user or ""


class ServerTunnel:
    """One tunnel of one client.

    A: ``addresses``, ``counters``, ``is_finished``, ``has_failed``, ``is_current``
    B: ``receive_data``, ``receive_datagrams``, ``handle_timeout``, ``progress``
    C: ``lease_addresses``, ``start``, ``send_ip_packets``, ``release``
    D: ``take_ip_packets``, ``next_timeout``
    """

    def __init__(
        self,
        http3: Http3,
        stream_id: StreamId,
        policy: ServerPolicy,
        owner: TunnelOwner,
        routes: RangeList,
    ) -> None:
        """Prepare a tunnel that nothing is leased for yet.

        Args:
            http3: the connection.
            stream_id: the request stream.
            policy: what may be given.
            owner: who asks.
            routes: advertised ranges, narrowed to the scope of the request.
        """
        self.owner = owner
        self.policy = policy
        """What it was accepted under; a reload does not change it."""
        self.is_finished = False
        """The client ended the stream."""
        self._pools: dict[int, AddressPool] = {pool.network.version: pool for pool in policy.pools}
        self._routes = routes
        self._link = TunnelLink(http3, stream_id, TunnelEnd.PROXY, policy.link)
        self._leases: dict[int, Lease] = {}
        # Family -> ID of the request that its address answers last.
        self._request_ids: dict[int, int] = {}

    @property
    def addresses(self) -> tuple[IpAddress, ...]:
        """The client's inner addresses."""
        return tuple(lease.address for lease in self._leases.values())

    @property
    def counters(self) -> PacketCounters:
        """What happened to packets so far."""
        return self._link.counters

    @property
    def bypass(self) -> TunnelBypass | None:
        """What may pass without us."""
        return self._link.bypass

    @property
    def has_failed(self) -> bool:
        """The tunnel cannot carry IPv6 and has to be torn down (RFC 9484 s7.2)."""
        proof = self._link.proof
        return proof is not None and proof.state is MtuProofState.FAILED

    @property
    def is_current(self) -> bool:
        """No lease was taken over by the same client on another connection."""
        return all(
            self._pools[version].is_current(lease) for version, lease in self._leases.items()
        )

    def lease_addresses(self) -> bool:
        """Lease an address of every family of the routes; tell whether there was any."""
        families = {entry.start.version for entry in self._routes}
        for version in _FAMILIES:
            if version not in families or version not in self._pools:
                continue
            lease = self._pools[version].acquire(
                self.owner.lease_user, instance=self.owner.instance
            )
            if lease is not None:
                self._leases[version] = lease
        return bool(self._leases)

    def start(self, now: Instant, *, numbers_packets: bool) -> None:
        """Tell the client its addresses and routes; the response was sent.

        Args:
            now: the time.
            numbers_packets: both ends agreed on `mqvpn_core.masque.sequenced_ip`.
        """
        if numbers_packets:
            self._link.open_sequence()
        self._assign(())
        # RFC 9484 s4.6: routes that "belong to an address family for which the IP proxy also
        # sends an Assigned Address".
        self._routes = tuple(entry for entry in self._routes if entry.start.version in self._leases)
        self._link.stream.advertise_routes(self._routes)
        self._link.refresh_mtu(now)
        self._apply(now)

    def receive_data(self, data: bytes, *, end_stream: bool, now: Instant) -> bool:
        """Take DATA of the request stream; tell whether the addresses changed.

        Raises:
            RemoteProtocolError: the client broke a rule; abort the stream with the code.
        """
        before = self.addresses
        self._link.stream.receive_data(data, end_stream=end_stream)
        while (event := self._link.stream.next_event()) is not None:
            self._take(event, now)
        return self.addresses != before

    def receive_datagrams(self, payloads: Sequence[Parcel], now: Instant) -> None:
        """Take HTTP Datagrams of the request."""
        self._link.receive_datagrams(payloads, now)

    def handle_timeout(self, now: Instant) -> None:
        """Do what is due."""
        self._link.handle_timeout(now)

    def progress(self, now: Instant) -> None:
        """Follow the MTU and send capsules; call after any input."""
        self._link.refresh_mtu(now)
        self._link.flush()

    def next_timeout(self) -> Instant | None:
        """Return when `handle_timeout` is due."""
        return self._link.next_timeout()

    def send_ip_packets(self, packets: Sequence[Parcel], now: Instant) -> None:
        """Send IP packets from the TUN device to the client."""
        self._link.send_ip_packets(packets, now)

    def take_ip_packets(self) -> list[Parcel]:
        """Return IP packets for the TUN device."""
        return self._link.take_ip_packets()

    def release(self) -> None:
        """Give the addresses back."""
        for version, lease in self._leases.items():
            self._pools[version].release(lease)
        self._leases.clear()
        self._link.close()

    def _take(self, event: StreamEvent, now: Instant) -> None:
        match event:
            case AddressesRequested():
                self._answer(event.requests, now)
            case StreamDatagramReceived():
                self._link.receive_datagrams((event.payload,), now)
            case AddressesAssigned() | RoutesAdvertised():
                # RFC 9484 s4.1: a client may assign and advertise for network-to-network use. We
                # have no use for either, and not using them needs no answer.
                pass
            case PeerFinished():
                self.is_finished = True
            case _:
                assert_never(event)

    def _answer(self, requests: Sequence[RequestedAddress], now: Instant) -> None:
        refused = []
        answered: set[int] = set()
        for request in requests:
            version = request.prefix.version
            # There is one address of each family to give, so the first request gets it.
            if version in answered or version not in self._leases:
                refused.append(request)
                continue
            answered.add(version)
            self._request_ids[version] = request.request_id
            if request.has_preferred_address:
                self._try_to_swap(version, request.prefix.network_address)
        self._assign(refused)
        self._apply(now)

    def _try_to_swap(self, version: int, wanted: IpAddress) -> None:
        old = self._leases[version]
        if wanted == old.address:
            return
        pool = self._pools[version]
        lease = pool.acquire_exactly(self.owner.lease_user, wanted, instance=self.owner.instance)
        if lease is not None:
            self._leases[version] = lease
            pool.release(old)

    def _assign(self, refused: Sequence[RequestedAddress]) -> None:
        self._link.stream.assign(
            [
                AssignedAddress(
                    request_id=self._request_ids.get(version, 0),
                    prefix=ip_network(lease.address),
                )
                for version, lease in self._leases.items()
            ],
            refused,
        )

    def _apply(self, now: Instant) -> None:
        policy = self.policy
        self._link.change_rules(
            FilterRules(
                near=tuple(ip_network(address) for address in self.addresses),
                far=self._routes,
                prohibited=policy.prohibited(),
                broadcasts=frozenset(
                    pool.network.broadcast_address.packed for pool in policy.pools
                ),
            ),
            policy.local_addresses,
        )
        self._prove_mtu(now)

    def _prove_mtu(self, now: Instant) -> None:
        """Start the proof that the tunnel carries IPv6, once."""
        for version, lease in self._leases.items():
            local = self._pools[version].server_address
            if (
                self._link.proof is None
                and isinstance(local, IPv6Address)
                and isinstance(lease.address, IPv6Address)
            ):
                self._link.prove_mtu(local, (ALL_NODES, lease.address), now)
