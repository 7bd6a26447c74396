"""Who may open a connection, judged by one datagram and without keeping anything of the sender.

Versions, sizes, Retry and its tokens (RFC 9000 s6, s7.2, s8.1, s14.1). Whether there is room for
one more connection is the endpoint's question.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mqvpn_core.errors import DecodeError
from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.aioquic_bridge.long_headers import (
    SUPPORTED_VERSIONS,
    LongHeader,
    RetryTokens,
    decode_long_header,
    encode_invalid_token_close,
    encode_version_negotiation,
)
from mqvpn_core.quic.stateless_answers import StatelessAnswers
from mqvpn_core.quic.transport_config import BASE_DATAGRAM_SIZE

_SMALLEST_INITIAL_CID = 8  # RFC 9000 s7.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Somebody may open a connection."""

    destination_cid: bytes
    """Connection ID that the client has sent to."""
    original_cid: bytes
    """The one it sent to first, before a Retry (RFC 9000 s7.3)."""
    retry_cid: bytes | None = None
    """The one that our Retry gave it, if there was one."""


class AdmissionDesk:
    """Judges datagrams with a long header that belong to no connection. C: `judge`."""

    def __init__(self, answers: StatelessAnswers, new_connection_id: Callable[[], bytes]) -> None:
        """Start with tokens of its own.

        Args:
            answers: takes what is to be sent to whom is not admitted.
            new_connection_id: makes those that a Retry gives.
        """
        self._answers = answers
        self._new_connection_id = new_connection_id
        self._retry_tokens = RetryTokens()

    def judge(
        self, datagram: bytes, four_tuple: FourTuple, now: Instant, *, wants_retry: bool
    ) -> Admission | None:
        """Tell whether a connection may be opened; who may not is answered, where that helps.

        Args:
            datagram: the first of a sender.
            four_tuple: where it came from.
            now: the time.
            wants_retry: the sender has to prove its address first.
        """
        header = self._acceptable_header(datagram, four_tuple, now)
        if header is None:
            return None
        if header.token:
            return self._take_token(header, four_tuple, now)
        if wants_retry:
            retry = self._retry_tokens.encode_retry(
                header, four_tuple.remote, self._new_connection_id(), now
            )
            self._answers.queue(four_tuple, retry, now)
            return None
        return Admission(
            destination_cid=header.destination_cid, original_cid=header.destination_cid
        )

    def _acceptable_header(
        self, datagram: bytes, four_tuple: FourTuple, now: Instant
    ) -> LongHeader | None:
        """Header of an Initial that may open a connection; other versions are negotiated."""
        try:
            header = decode_long_header(datagram)
        except DecodeError:
            return None
        if len(datagram) < BASE_DATAGRAM_SIZE or header.version == 0:
            # RFC 9000 s14.1, s6.1: too short to answer; never answer a version negotiation
            return None
        if header.version not in SUPPORTED_VERSIONS:
            self._answers.queue(four_tuple, encode_version_negotiation(header), now)
            return None
        is_usable = header.is_initial and len(header.destination_cid) >= _SMALLEST_INITIAL_CID
        return header if is_usable else None

    def _take_token(
        self, header: LongHeader, four_tuple: FourTuple, now: Instant
    ) -> Admission | None:
        try:
            original_cid = self._retry_tokens.original_destination_cid(
                header, four_tuple.remote, now
            )
        except DecodeError:
            # RFC 9000 s8.1.2: "SHOULD immediately close the connection with an INVALID_TOKEN error"
            self._answers.queue(four_tuple, encode_invalid_token_close(header), now)
            return None
        return Admission(
            destination_cid=header.destination_cid,
            original_cid=original_cid,
            retry_cid=header.destination_cid,
        )
