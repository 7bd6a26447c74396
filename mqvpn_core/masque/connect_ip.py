"""One CONNECT-IP request stream: capsules in, events out; the same for client and proxy.

Owns what RFC 9484 s4.7 says across capsules: full lists that supersede one another, request IDs,
refusals, and one narrow tolerance. Knows nothing of pools, packets or headers. A peer that breaks
a rule gives a RemoteProtocolError; the owner then aborts the stream with its code.

**Tolerance.** Each ADDRESS_ASSIGN and ROUTE_ADVERTISEMENT holds the full list, so a second one
replaces the first. Some proxies send one capsule for IPv4 and another for IPv6 instead. Until
`settle` is called (the tunnel is up, or a first packet arrived), a capsule whose families are all
new is therefore added to what came before. Afterwards every capsule replaces.
"""

# walk: 4 and 14 of 16

import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from mqvpn_core.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from mqvpn_core.masque.route_ranges import RangeList
from mqvpn_core.wire.address_capsules import (
    AddressAssign,
    AddressRequest,
    AssignedAddress,
    IpPrefix,
    RequestedAddress,
    RouteAdvertisement,
)
from mqvpn_core.wire.capsules import (
    Capsule,
    CapsuleLimits,
    CapsuleParser,
    DatagramCapsule,
    encode_capsule,
)
from mqvpn_core.wire.code_points import Http3ErrorCode

MAX_REQUESTS: Final = 256
"""Address requests that one stream may make in its life; each ID has to be remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressesAssigned:
    """The peer's ADDRESS_ASSIGN: the full list of addresses we have now."""

    prefixes: tuple[IpPrefix, ...]
    """All assigned prefixes; empty when everything was withdrawn or refused."""
    answered_ids: frozenset[int]
    """Requests of ours that this capsule answered, by refusal or not."""
    refused_ids: frozenset[int]
    """Those of them that were refused (RFC 9484 s4.7.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressesRequested:
    """The peer's ADDRESS_REQUEST; every entry wants an answer by `assign`."""

    requests: tuple[RequestedAddress, ...]
    """What it wants; never empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesAdvertised:
    """The peer's ROUTE_ADVERTISEMENT: the full list of ranges it takes packets for."""

    ranges: RangeList
    """All ranges, ordered and disjoint; empty when everything was withdrawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDatagramReceived:
    """A DATAGRAM capsule: like a QUIC DATAGRAM, but in the stream (RFC 9297 s3.5)."""

    payload: bytes
    """HTTP Datagram payload, context ID in front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFinished:
    """The peer ended its side cleanly, and so the tunnel (RFC 9484 s4.1)."""


StreamEvent: TypeAlias = (
    AddressesAssigned
    | AddressesRequested
    | RoutesAdvertised
    | StreamDatagramReceived
    | PeerFinished
)


class _State(enum.Enum):
    OPEN = "open"
    FINISHED = "finished by the peer"
    FAILED = "failed"


class ConnectIpStream:
    """Capsules of one request stream after a 2xx response.

    A: ``assigned``, ``routes``, ``given``
    B: ``receive_data``
    C: ``assign``, ``request_addresses``, ``advertise_routes``, ``settle``
    D: ``take_data`` (bytes for the stream), ``next_event``
    """

    def __init__(self, limits: CapsuleLimits) -> None:
        """Start at the first byte of the data stream.

        Args:
            limits: what capsules we put up with.
        """
        self._parser = CapsuleParser(limits)
        self._state = _State.OPEN
        self._is_settled = False
        self._assigned: tuple[IpPrefix, ...] = ()
        self._routes: RangeList = ()
        self._given: tuple[AssignedAddress, ...] = ()
        self._peer_request_ids: set[int] = set()
        self._next_request_id = 1
        self._out = bytearray()
        self._events: deque[StreamEvent] = deque()

    @property
    def assigned(self) -> tuple[IpPrefix, ...]:
        """What the peer has assigned to us."""
        return self._assigned

    @property
    def routes(self) -> RangeList:
        """What the peer has advertised to us."""
        return self._routes

    @property
    def given(self) -> tuple[AssignedAddress, ...]:
        """What we have assigned to the peer."""
        return self._given

    def receive_data(self, data: bytes, *, end_stream: bool) -> None:
        """Take the next bytes of the data stream.

        Raises:
            RemoteProtocolError: the peer broke a rule; abort the stream with the code.
        """
        if self._state is not _State.OPEN:
            return
        try:
            for capsule in self._parser.feed(data):
                self._take(capsule)
            if end_stream:
                self._parser.finish()
                self._state = _State.FINISHED
                self._events.append(PeerFinished())
        except DecodeError as error:
            # RFC 9297 s3.3: an error in the capsule protocol is a malformed message. RFC 9484
            # s4.7.2, s4.7.3 say "abort" without a code; the same one fits.
            self._state = _State.FAILED
            raise RemoteProtocolError(Http3ErrorCode.H3_MESSAGE_ERROR, str(error)) from error
        except RemoteProtocolError:
            self._state = _State.FAILED
            raise

    def settle(self) -> None:
        """End the tolerance for lists that come in one capsule per family."""
        self._is_settled = True

    def assign(
        self, addresses: Sequence[AssignedAddress], refused: Sequence[RequestedAddress] = ()
    ) -> None:
        """Assign exactly ``addresses`` to the peer; refuse some requests in the same capsule."""
        self._given = tuple(addresses)
        # RFC 9484 s4.7.2: refusals SHOULD NOT be included in subsequent capsules, so they are
        # not kept.
        refusals = tuple(
            AssignedAddress(request_id=entry.request_id, prefix=_nothing(entry.prefix))
            for entry in refused
        )
        self._out += encode_capsule(AddressAssign(addresses=self._given + refusals))

    def request_addresses(self, prefixes: Sequence[IpPrefix]) -> tuple[int, ...]:
        """Ask for addresses; an all-zero address means any of that family and length.

        Returns:
            The request IDs, in the order of ``prefixes``.

        Raises:
            LocalProtocolError: there is nothing to ask for.
        """
        if not prefixes:
            raise LocalProtocolError("ADDRESS_REQUEST needs an entry")
        first = self._next_request_id
        # RFC 9484 s4.7.2: "Request IDs MUST NOT be reused by an endpoint and MUST NOT be zero."
        self._next_request_id += len(prefixes)
        requests = tuple(
            RequestedAddress(request_id=first + index, prefix=prefix)
            for index, prefix in enumerate(prefixes)
        )
        self._out += encode_capsule(AddressRequest(addresses=requests))
        return tuple(entry.request_id for entry in requests)

    def advertise_routes(self, ranges: RangeList) -> None:
        """Advertise exactly ``ranges`` to the peer.

        Raises:
            LocalProtocolError: they are out of order or overlap.
        """
        self._out += encode_capsule(RouteAdvertisement(ranges=ranges))

    def take_data(self) -> bytes:
        """Return the bytes to send on the stream."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def next_event(self) -> StreamEvent | None:
        """Return the next event, or None."""
        return self._events.popleft() if self._events else None

    def _take(self, capsule: Capsule) -> None:
        match capsule:
            case DatagramCapsule():
                self._events.append(StreamDatagramReceived(payload=capsule.payload))
            case AddressAssign():
                self._take_assignment(capsule)
            case AddressRequest():
                self._take_request(capsule)
            case RouteAdvertisement():
                ranges = capsule.ranges
                if self._is_addition(
                    {entry.start.version for entry in self._routes},
                    {entry.start.version for entry in ranges},
                ):
                    both = (*self._routes, *ranges)
                    ranges = tuple(sorted(both, key=lambda entry: entry.start.version))
                self._routes = ranges
                self._events.append(RoutesAdvertised(ranges=ranges))
            case _:
                assert_never(capsule)

    def _take_assignment(self, capsule: AddressAssign) -> None:
        # RFC 9484 s4.7.2: 0.0.0.0/32 and ::/128 say "not assigned"; they are no addresses.
        prefixes = tuple(
            dict.fromkeys(entry.prefix for entry in capsule.addresses if not entry.is_refusal)
        )
        if self._is_addition(
            {prefix.version for prefix in self._assigned}, {prefix.version for prefix in prefixes}
        ):
            prefixes = (*self._assigned, *prefixes)
        self._assigned = prefixes
        self._events.append(
            AddressesAssigned(
                prefixes=prefixes,
                answered_ids=frozenset(
                    entry.request_id for entry in capsule.addresses if entry.request_id
                ),
                refused_ids=frozenset(
                    entry.request_id
                    for entry in capsule.addresses
                    if entry.is_refusal and entry.request_id
                ),
            )
        )

    def _take_request(self, capsule: AddressRequest) -> None:
        ids = {entry.request_id for entry in capsule.addresses}
        if ids & self._peer_request_ids:
            raise DecodeError("a request ID is used a second time")
        self._peer_request_ids |= ids
        if len(self._peer_request_ids) > MAX_REQUESTS:
            raise RemoteProtocolError(
                Http3ErrorCode.H3_EXCESSIVE_LOAD, f"more than {MAX_REQUESTS} address requests"
            )
        self._events.append(AddressesRequested(requests=capsule.addresses))

    def _is_addition(self, old: set[int], new: set[int]) -> bool:
        return bool(not self._is_settled and old and new and not old & new)


def _nothing(prefix: IpPrefix) -> IpPrefix:
    """Return what refuses a request of this family: the zero address at full length."""
    return type(prefix)((0, prefix.max_prefixlen))
