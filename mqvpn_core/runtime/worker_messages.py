"""What the processes of one server say to each other; one message a packet of a socket.

    worker asks, parent answers     the books that all share: keys, quota, addresses
    worker reports                  that it listens, what its tunnels need of the device
    parent orders                   how to begin, who has which address now, to stop

All of it is JSON, and what is malformed is a `DecodeError`. A worker reads bytes of the network, so
the parent believes nothing it says and ends a worker that says such a thing. Orders are in
`app/worker_orders`.
"""

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias, cast

from mqvpn_core.errors import DecodeError
from mqvpn_core.masque.address_pool import Lease
from mqvpn_core.masque.authentication import Accepted, Decision, RateLimited, Refused
from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_core.runtime.json_members import JsonMembers, as_text

MAX_MESSAGE_BYTES = 65536
"""Longest message."""

IPAddress: TypeAlias = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeKey:
    """Whose is this key? Answered by a `Decision`."""

    authorization: bytes | None
    """Value of the Authorization field."""
    peer_host: str
    """IP address of the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeTunnel:
    """May a user have one more tunnel? Answered by true or false."""

    user: str | None
    """Who; None for the shared key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBackTunnel:
    """A user has one tunnel less. Answered by true."""

    user: str | None
    """Who; None for the shared key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquireAddress:
    """An address for a client, please. Answered by a `Lease` or None."""

    version: int
    """IP version: which pool."""
    user: str
    """Who asks, as the lease table names them."""
    instance: str
    """Which client of the user."""
    requested: IPAddress | None
    """Which address would be best."""
    is_exact: bool
    """That one or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseAddress:
    """An address is not needed any more. Answered by true."""

    address: IPAddress
    """Which one."""
    generation: int
    """Which use of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """The worker serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallestMtu:
    """What the smallest tunnel of the worker needs."""

    mtu: int
    """MTU for the TUN device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressMoved:
    """A client has an address from now on, or nobody has it any more."""

    address: IPAddress
    """Which address."""
    worker: int | None
    """Number of the worker that serves it; None: nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLost:
    """A client came back by way of another worker: its older tunnel is over."""

    address: IPAddress
    """Its address."""
    generation: int
    """Which use of it has ended."""


Question: TypeAlias = JudgeKey | TakeTunnel | GiveBackTunnel | AcquireAddress | ReleaseAddress
Answer: TypeAlias = Decision | Lease | bool | None
Report: TypeAlias = Listening | SmallestMtu
Notice: TypeAlias = AddressMoved | LeaseLost


def encode_question(question: Question) -> bytes:
    """Return the message of a question."""
    match question:
        case JudgeKey():
            key = question.authorization
            text = None if key is None else key.decode("latin-1")
            return _encode({"ask": "key", "authorization": text, "peer": question.peer_host})
        case TakeTunnel():
            return _encode({"ask": "take", "user": question.user})
        case GiveBackTunnel():
            return _encode({"ask": "give_back", "user": question.user})
        case AcquireAddress():
            return _encode(
                {
                    "ask": "acquire",
                    "version": question.version,
                    "user": question.user,
                    "instance": question.instance,
                    "requested": None if question.requested is None else str(question.requested),
                    "exact": question.is_exact,
                }
            )
        case ReleaseAddress():
            return _encode(
                {
                    "ask": "release",
                    "address": str(question.address),
                    "generation": question.generation,
                }
            )


def decode_question(data: bytes) -> Question:
    """Read what `encode_question` wrote.

    Raises:
        DecodeError: it is something else.
    """
    members = _members(data)
    match members.text("ask"):
        case "key":
            text = _optional_text(members, "authorization")
            return JudgeKey(authorization=_latin(text), peer_host=str(_address(members, "peer")))
        case "take":
            return TakeTunnel(user=_optional_text(members, "user"))
        case "give_back":
            return GiveBackTunnel(user=_optional_text(members, "user"))
        case "acquire":
            requested = members.value("requested")
            return AcquireAddress(
                version=members.count("version"),
                user=members.text("user"),
                instance=members.text("instance"),
                requested=None if requested is None else _address(members, "requested"),
                is_exact=members.truth("exact"),
            )
        case "release":
            return ReleaseAddress(
                address=_address(members, "address"), generation=members.count("generation")
            )
        case other:
            raise DecodeError(f"an unknown question: {other}")


def encode_answer(answer: Answer) -> bytes:
    """Return the message of an answer."""
    match answer:
        case None | bool():
            return _encode({"answer": answer})
        case Accepted():
            return _encode({"accepted": answer.user})
        case Refused():
            return _encode({"refused": True})
        case RateLimited():
            return _encode({"retry_after": answer.retry_after})
        case Lease():
            return _encode(
                {
                    "address": str(answer.address),
                    "user": answer.user,
                    "instance": answer.instance,
                    "generation": answer.generation,
                }
            )


def decode_answer(data: bytes) -> Answer:
    """Read what `encode_answer` wrote.

    Raises:
        DecodeError: it is something else.
    """
    members = _members(data)
    names = members.names()
    if "address" in names:
        return Lease(
            address=_address(members, "address"),
            user=members.text("user"),
            instance=members.text("instance"),
            generation=members.count("generation"),
        )
    if "accepted" in names:
        return Accepted(user=_optional_text(members, "accepted"))
    if "refused" in names:
        return Refused()
    if "retry_after" in names:
        return RateLimited(retry_after=members.number("retry_after"))
    return None if members.value("answer") is None else members.truth("answer")


def encode_report(report: Report) -> bytes:
    """Return the message of a report."""
    match report:
        case Listening():
            return _encode({"listening": True})
        case SmallestMtu():
            return _encode({"mtu": report.mtu})


def decode_report(data: bytes) -> Report:
    """Read what `encode_report` wrote.

    Raises:
        DecodeError: it is something else.
    """
    members = _members(data)
    return Listening() if "listening" in members.names() else SmallestMtu(mtu=members.count("mtu"))


def _encode(value: dict[str, JsonValue]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _members(data: bytes) -> JsonMembers:
    if len(data) > MAX_MESSAGE_BYTES:
        raise DecodeError("a message that is too long")
    try:
        return JsonMembers.of(cast("JsonValue", json.loads(data)))
    except (ValueError, RecursionError):
        raise DecodeError("a message that is no JSON") from None


def _optional_text(members: JsonMembers, name: str) -> str | None:
    value = members.value(name)
    return None if value is None else as_text(value)


def _latin(text: str | None) -> bytes | None:
    try:
        return None if text is None else text.encode("latin-1")
    except UnicodeEncodeError:
        raise DecodeError("a field value that is no bytes") from None


def _address(members: JsonMembers, name: str) -> IPAddress:
    text = members.text(name)
    try:
        return ip_address(text)
    except ValueError:
        raise DecodeError(f"{name} is no IP address") from None
