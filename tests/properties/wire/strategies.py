"""Values and hostile bytes for the decoders."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import strategies as st

from mqvpn_core.ids import PathId
from mqvpn_core.wire.ack_frames import Ack, EcnCounts
from mqvpn_core.wire.address_capsules import (
    AddressAssign,
    AddressRequest,
    AssignedAddress,
    IpAddressRange,
    IpPrefix,
    RequestedAddress,
    RouteAdvertisement,
)
from mqvpn_core.wire.capsules import Capsule, DatagramCapsule
from mqvpn_core.wire.path_frames import (
    MaxPathId,
    NewConnectionId,
    PathAbandon,
    PathAck,
    PathChallenge,
    PathCidsBlocked,
    PathFrame,
    PathNewConnectionId,
    PathResponse,
    PathRetireConnectionId,
    PathsBlocked,
    PathStatusAvailable,
    PathStatusBackup,
    RetireConnectionId,
)
from mqvpn_core.wire.request_scopes import RequestScope
from mqvpn_core.wire.varint import MAX_VARINT

# Every length of the encoding is equally likely, and so are its edges.
varints = st.one_of(
    st.integers(0, 2**6), st.integers(0, 2**14), st.integers(0, 2**30), st.integers(0, MAX_VARINT)
)
path_ids = st.integers(0, 2**32 - 1).map(PathId)


@st.composite
def packet_number_ranges(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """Disjoint ranges, largest first, with a gap of one packet at least between them."""
    steps = draw(st.lists(st.integers(0, 2**20), min_size=1, max_size=40))
    ranges: list[tuple[int, int]] = []
    smallest = draw(st.integers(0, 2**40))
    for step in steps:
        largest = smallest + step
        ranges.append((smallest, largest))
        smallest = largest + 2 + draw(st.integers(0, 2**20))
    return tuple(reversed(ranges))


ecn_counts = st.builds(EcnCounts, varints, varints, varints)
acks = st.builds(Ack, ranges=packet_number_ranges(), delay_raw=varints, ecn=st.none() | ecn_counts)

_connection_ids = st.binary(min_size=1, max_size=20)
_tokens = st.binary(min_size=16, max_size=16)
_challenges = st.binary(min_size=8, max_size=8)

path_frames: st.SearchStrategy[PathFrame] = st.one_of(
    st.builds(PathAck, path_id=path_ids, ack=acks),
    st.builds(PathAbandon, path_id=path_ids, error_code=varints),
    st.builds(PathStatusAvailable, path_id=path_ids, sequence_number=varints),
    st.builds(PathStatusBackup, path_id=path_ids, sequence_number=varints),
    st.builds(
        NewConnectionId,
        sequence_number=st.integers(1000, 2000),
        retire_prior_to=st.integers(0, 1000),
        connection_id=_connection_ids,
        stateless_reset_token=_tokens,
    ),
    st.builds(
        PathNewConnectionId,
        path_id=path_ids,
        sequence_number=st.integers(1000, 2000),
        retire_prior_to=st.integers(0, 1000),
        connection_id=_connection_ids,
        stateless_reset_token=_tokens,
    ),
    st.builds(RetireConnectionId, sequence_number=varints),
    st.builds(PathRetireConnectionId, path_id=path_ids, sequence_number=varints),
    st.builds(MaxPathId, maximum_path_id=varints),
    st.builds(PathsBlocked, maximum_path_id=varints),
    st.builds(PathCidsBlocked, path_id=path_ids, next_sequence_number=varints),
    st.builds(PathChallenge, data=_challenges),
    st.builds(PathResponse, data=_challenges),
)


@st.composite
def prefixes(draw: st.DrawFn) -> IpPrefix:
    """Any prefix; host bits are zero."""
    length = draw(st.integers(0, 128))
    if draw(st.booleans()):
        return IPv6Network((draw(st.integers(0, 2**128 - 1)), length), strict=False)
    return IPv4Network((draw(st.integers(0, 2**32 - 1)), length % 33), strict=False)


@st.composite
def route_lists(draw: st.DrawFn) -> tuple[IpAddressRange, ...]:
    """Ranges in order that do not overlap, not even across protocols."""
    ranges: list[IpAddressRange] = []
    edges4 = draw(st.sets(st.integers(0, 2**32 - 1), max_size=12))
    edges6 = draw(st.sets(st.integers(0, 2**128 - 1), max_size=12))
    for start, end in _pairs(edges4):
        protocol = draw(st.sampled_from((0, 6, 17)))
        ranges.append(
            IpAddressRange(start=IPv4Address(start), end=IPv4Address(end), protocol=protocol)
        )
    for start, end in _pairs(edges6):
        protocol = draw(st.sampled_from((0, 6, 17)))
        ranges.append(
            IpAddressRange(start=IPv6Address(start), end=IPv6Address(end), protocol=protocol)
        )
    ranges.sort(key=lambda entry: (entry.start.version, entry.protocol, int(entry.start)))
    return tuple(ranges)


def _pairs(edges: set[int]) -> list[tuple[int, int]]:
    ordered = sorted(edges)
    return list(zip(ordered[::2], ordered[1::2], strict=False))


capsules: st.SearchStrategy[Capsule] = st.one_of(
    st.builds(DatagramCapsule, payload=st.binary(max_size=100)),
    st.builds(
        AddressAssign,
        addresses=st.lists(
            st.builds(AssignedAddress, request_id=varints, prefix=prefixes()), max_size=4
        ).map(tuple),
    ),
    st.builds(
        AddressRequest,
        addresses=st.lists(
            st.builds(RequestedAddress, request_id=st.integers(1, MAX_VARINT), prefix=prefixes()),
            min_size=1,
            max_size=4,
            unique_by=lambda entry: entry.request_id,
        ).map(tuple),
    ),
    st.builds(RouteAdvertisement, ranges=route_lists()),
)

_labels = st.text("abz09_-", max_size=8).map("x{}x".format)
host_names = st.lists(_labels, min_size=1, max_size=5).map(".".join)
scopes = st.builds(
    RequestScope,
    target=st.none() | prefixes() | host_names,
    protocol=st.none() | st.integers(0, 255),
)


@st.composite
def damaged(draw: st.DrawFn, originals: st.SearchStrategy[bytes]) -> bytes:
    """Valid bytes with a few changed, cut off or added."""
    data = bytearray(draw(originals))
    for _ in range(draw(st.integers(0, 3))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data) + draw(st.binary(max_size=4))
