"""Second look at the peer's transport parameters: what aioquic drops or does not check."""

from dataclasses import dataclass

from mqvpn_core.errors import DecodeError
from mqvpn_core.wire.code_points import TransportParameter
from mqvpn_core.wire.varint import decode_varint

_SMALLEST_UDP_PAYLOAD = 1200
_LARGEST_ACK_DELAY_EXPONENT = 20
_LARGEST_PATH_ID = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerParameters:
    """Values with the defaults of RFC 9000 s18.2."""

    max_udp_payload_size: int = 65527
    """Largest UDP payload the peer takes, in bytes."""
    ack_delay_exponent: int = 3
    """ACK Delay fields count in units of 2**this microseconds."""
    initial_max_path_id: int | None = None
    """Largest path ID the peer allows at first; None when it has no multipath (RFC 10069 s2.1)."""
    disable_active_migration: bool = False
    """The peer does not want to be reached from another address of ours."""


def read_peer_parameters(data: bytes, *, knows_multipath: bool) -> PeerParameters:
    """Read the extension's bytes.

    Args:
        data: the extension.
        knows_multipath: we offer multipath ourselves; otherwise what the peer says about it is
            ignored as RFC 9000 s7.4.2 wants it for parameters that are not supported.

    Raises:
        DecodeError: a parameter is repeated (RFC 9000 s7.4) or out of range.
    """
    seen: dict[int, bytes] = {}
    offset = 0
    while offset < len(data):
        parameter, offset = decode_varint(data, offset)
        length, offset = decode_varint(data, offset)
        if offset + length > len(data):
            raise DecodeError("transport parameter is cut short")
        if parameter in seen:
            # RFC 9000 s7.4: "An endpoint MUST NOT send a parameter more than once"
            raise DecodeError(f"transport parameter 0x{parameter:x} is repeated")
        seen[parameter] = data[offset : offset + length]
        offset += length
    largest_path_id = None
    if knows_multipath and TransportParameter.INITIAL_MAX_PATH_ID in seen:
        largest_path_id = _integer(seen, TransportParameter.INITIAL_MAX_PATH_ID, 0)
        if largest_path_id > _LARGEST_PATH_ID:
            # RFC 10069 s2.1: "MUST NOT be larger than 2^32-1"
            raise DecodeError("initial_max_path_id is above 2^32-1")
    payload = _integer(seen, TransportParameter.MAX_UDP_PAYLOAD_SIZE, 65527)
    exponent = _integer(seen, TransportParameter.ACK_DELAY_EXPONENT, 3)
    if payload < _SMALLEST_UDP_PAYLOAD:
        raise DecodeError("max_udp_payload_size is below 1200")
    if exponent > _LARGEST_ACK_DELAY_EXPONENT:
        raise DecodeError("ack_delay_exponent is above 20")
    return PeerParameters(
        max_udp_payload_size=payload,
        ack_delay_exponent=exponent,
        initial_max_path_id=largest_path_id,
        disable_active_migration=TransportParameter.DISABLE_ACTIVE_MIGRATION in seen,
    )


def _integer(seen: dict[int, bytes], parameter: TransportParameter, default: int) -> int:
    value = seen.get(parameter)
    if value is None:
        return default
    number, end = decode_varint(value, 0)
    if end != len(value):
        raise DecodeError(f"transport parameter 0x{int(parameter):x} has trailing bytes")
    return number
