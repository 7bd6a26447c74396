"""What is fuzzed between programs of one machine, and what names servers say to the core."""

import json
from contextlib import suppress
from random import Random

from mqvpn_core.errors import DecodeError
from mqvpn_core.wire.dns_messages import RecordType, decode_answer, encode_query
from mqvpn_helper.interface.core_coding import decode_core_message, encode_core_message
from mqvpn_helper.interface.helper_coding import decode_helper_message, encode_helper_message
from mqvpn_helper.interface.members import MemberError
from mqvpn_helper.interface.profile import Profile
from tests.session.samples import CORE_MESSAGES, FULL_PROFILE, HELPER_MESSAGES

_CORE_PACKETS = [encode_core_message(each) for each in CORE_MESSAGES]
_HELPER_PACKETS = [encode_helper_message(each) for each in HELPER_MESSAGES]
_NAME = "vpn.example.org"
_NUMBER = 0x1234


def generate_messages(random: Random) -> bytes:
    return random.choice(_CORE_PACKETS + _HELPER_PACKETS)


def check_messages(data: bytes) -> None:
    with suppress(MemberError):
        message = decode_core_message(data)
        assert decode_core_message(encode_core_message(message)) == message
    with suppress(MemberError):
        answer = decode_helper_message(data)
        assert decode_helper_message(encode_helper_message(answer)) == answer


def generate_profiles(random: Random) -> bytes:
    members = {
        name: value
        for name, value in FULL_PROFILE.items()
        if name == "server" or random.random() < 0.5
    }
    return json.dumps(members).encode()


def check_profiles(data: bytes) -> None:
    try:
        members = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(members, dict):
        with suppress(MemberError):
            profile = Profile.from_mapping(members)
            assert Profile.from_mapping(profile.to_mapping()) == profile


def generate_dns(random: Random) -> bytes:
    query = encode_query(_NUMBER, _NAME, RecordType.A)
    count = random.randrange(4)
    records = b"".join(_record(random) for _ in range(count))
    return query[:2] + b"\x81\x80\0\1" + count.to_bytes(2) + query[8:] + records


def _record(random: Random) -> bytes:
    owner = random.choice((b"\xc0\x0c", b"\x04edge\xc0\x10", b"\x04edge\x07example\x03org\0"))
    kind, data = random.choice(
        ((1, random.randbytes(4)), (5, b"\x04edge\xc0\x10"), (28, bytes(16)))
    )
    return owner + bytes((0, kind, 0, 1, 0, 0, 0, 60)) + len(data).to_bytes(2) + data


def check_dns(data: bytes) -> None:
    for kind in RecordType:
        with suppress(DecodeError):
            answer = decode_answer(data, _NUMBER, _NAME, kind)
            assert len(set(answer.addresses)) == len(answer.addresses)
