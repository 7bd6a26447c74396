"""Messages between helper and core: the same at the other end, or refused, whatever the bytes."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.control_messages import (
    MAX_MESSAGE_BYTES,
    CoreMessage,
    Done,
    EventReport,
    HelperMessage,
    PathsReport,
    Start,
    UseNetwork,
)
from mqvpn_helper.interface.control_packets import MAX_TEXT, one_line
from mqvpn_helper.interface.core_coding import decode_core_message, encode_core_message
from mqvpn_helper.interface.helper_coding import decode_helper_message, encode_helper_message
from mqvpn_helper.interface.members import MemberError
from mqvpn_helper.interface.profile import MAX_CA_CHARACTERS, Profile
from mqvpn_helper.session.plan_making import core_profile
from tests.session.samples import CORE_MESSAGES, FULL_PROFILE, HELPER_MESSAGES, NETWORK, PATH, PIN


@pytest.mark.parametrize("message", CORE_MESSAGES, ids=lambda each: type(each).__name__)
def test_core_messages_arrive_as_they_were(message: CoreMessage) -> None:
    assert decode_core_message(encode_core_message(message)) == message


@pytest.mark.parametrize("message", HELPER_MESSAGES, ids=lambda each: type(each).__name__)
def test_helper_messages_arrive_as_they_were(message: HelperMessage) -> None:
    assert decode_helper_message(encode_helper_message(message)) == message


def test_the_largest_profile_fits_a_packet() -> None:
    links = {f"interface{n:06}": n for n in range(64)}
    members = {
        **FULL_PROFILE,
        "server": "x" * 61 + ".org",
        "ca_certificates": "\n" * MAX_CA_CHARACTERS,
        "template": "/" + "x" * 511,
        "pins": [PIN.replace("AA", f"A{n:x}", 1) for n in range(16)],
        "paths": list(links),
        "ignore_interfaces": list(links),
        "roles": dict.fromkeys(links, "secondary"),
        "caps": dict.fromkeys(links, 1 << 62),
        "rate_limits": dict.fromkeys(links, 1 << 62),
    }
    start = HELPER_MESSAGES[0]
    assert isinstance(start, Start)
    largest = replace(start, profile=core_profile(Profile.from_mapping(members)))
    assert decode_helper_message(encode_helper_message(largest)) == largest


def test_the_largest_network_fits_a_packet() -> None:
    routes = [f"2001:db8:{n:x}:ffff:ffff:ffff:ffff:{n:x}/128" for n in range(1024)]
    members = {"kind": "use_network", "id": 1, "mtu": 1500, "addresses": [], "routes": routes}
    packet = json.dumps(members, separators=(",", ":")).encode()
    message = decode_core_message(packet)
    assert isinstance(message, UseNetwork)
    assert len(encode_core_message(message)) <= MAX_MESSAGE_BYTES


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"{" * 5000,
        b'{"kind":"start"}',
        b'{"kind":"hello"}',
        b'{"kind":"hello","protocol":1,"more":1}',
        b'{"kind":["hello"],"protocol":1}',
        b'{"kind":"hello","protocol":true}',
        b'{"kind":"hello","protocol":1e999}',
        b'{"kind":"hello","protocol":' + b"9" * 5000 + b"}",
        b'{"kind":"leave_network","id":0}',
        b'{"kind":"find_link","id":1,"address":"fe80::1%eth0"}',
        b'{"kind":"use_network","id":1,"mtu":67,"addresses":[],"routes":[],"links":[]}',
        b'{"kind":"use_network","id":1,"mtu":1500,"addresses":[1],"routes":[],"links":[]}',
        b'{"kind":"use_network","id":1,"mtu":1500,"addresses":["1.2.3.4/33"],"routes":[]}',
        b'{"kind":"use_network","id":1,"mtu":1500,"addresses":[],"routes":["1.2.3.4/8"]}',
        b'{"kind":"event","event":"failover","path":"a/b","detail":{}}',
        b'{"kind":"event","event":"failover","path":"","detail":{"a":[1]}}',
        b'{"kind":"event","event":"failover","path":"","detail":{"a":NaN}}',
        b'{"kind":"event","event":"failover","path":"","detail":{"a":1e999}}',
        b'{"kind":"event","event":"failover","path":"","detail":{"a":"\\u0007"}}',
        b'{"kind":"event","event":"failover","path":"","detail":{"a":"\\ud800"}}',
        b'{"kind":"event","event":"failover","path":"","detail":{"a b":1}}',
        '{"kind":"event","event":"failover","path":"","detail":{"a":"é"}}'.encode(),
        b'{"kind":"paths","paths":[1],"is_periodic":true}',
        b'{"kind":"paths","paths":[{}],"is_periodic":true}',
        b'{"kind":"state","state":"up","reason":"' + b"x" * 513 + b'"}',
        b" " * (MAX_MESSAGE_BYTES + 1),
    ],
)
def test_packets_that_are_refused(packet: bytes) -> None:
    with pytest.raises(MemberError):
        decode_core_message(packet)


@pytest.mark.parametrize("state", [TunnelState.OFF, TunnelState.BLOCKED, TunnelState.ERROR])
def test_states_that_are_the_helpers_to_say(state: TunnelState) -> None:
    with pytest.raises(MemberError):
        decode_core_message(
            json.dumps({"kind": "state", "state": state.value, "reason": ""}).encode()
        )


@pytest.mark.parametrize(
    "kind", [BusEventKind.KILLSWITCH, BusEventKind.DNS, BusEventKind.CORE_DIED, BusEventKind.PORTAL]
)
def test_events_that_are_the_helpers_to_say(kind: BusEventKind) -> None:
    with pytest.raises(MemberError):
        decode_core_message(encode_core_message(EventReport(kind=kind)))


@pytest.mark.parametrize("error", [BusError.NOT_AUTHORIZED, BusError.CORE_DIED, BusError.BUSY])
def test_errors_that_are_the_helpers_to_say(error: BusError) -> None:
    packet = {"kind": "failure", "error": error.value, "text": ""}
    with pytest.raises(MemberError):
        decode_core_message(json.dumps(packet).encode())


def test_a_message_that_is_too_long_is_not_sent() -> None:
    routes = tuple(NETWORK.routes) * 10000
    too_long = UseNetwork(id=1, mtu=1500, addresses=(), routes=routes)
    with pytest.raises(MemberError):
        encode_core_message(too_long)


def test_texts_are_made_to_fit() -> None:
    assert one_line("a\nb\x1b[31m\ud800c") == "a b [31m c"
    assert len(one_line("x" * 10000)) == MAX_TEXT
    long = Done(id=1, warnings=("w\n" * 1000,) * 1)
    assert decode_helper_message(encode_helper_message(long)) != long


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_BYTES = st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode())


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A good packet of either side, with members changed, missing or added."""
    core = [encode_core_message(each) for each in CORE_MESSAGES]
    helper = [encode_helper_message(each) for each in HELPER_MESSAGES]
    members = json.loads(draw(st.sampled_from([*core, *helper])))
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(members)) | st.text(max_size=5))
        if draw(st.booleans()) and name in members and len(members) > 1:
            del members[name]
        else:
            members[name] = draw(_JSON)
    return json.dumps(members).encode()


@pytest.mark.slow
@given(_BYTES | _damaged())
def test_whatever_comes_is_a_message_or_a_refusal(packet: bytes) -> None:
    for decode in (decode_core_message, decode_helper_message):
        try:
            message = decode(packet)
        except MemberError:
            continue
        encoded = (
            encode_core_message(message)  # type: ignore[arg-type]  # it came from that decoder
            if decode is decode_core_message
            else encode_helper_message(message)  # type: ignore[arg-type]  # likewise
        )
        assert decode(encoded) == message


@pytest.mark.parametrize(
    ("member", "value", "is_believed"),
    [
        ("loss", 0.99, True),
        ("loss", 1.01, False),
        ("share", -0.01, False),
        ("rtt_ms", 0, True),
        ("rtt_ms", -1, False),
        ("jitter_ms", 1e300, False),
        ("rx_bps", 10**15, True),
        ("rx_bps", -1, False),
        ("tx_bps", 1 << 64, False),
        ("mtu", 1 << 20, False),
        ("used_bytes", 1 << 64, False),
        ("cap_bytes", -1, False),
        ("metered", 1, False),
    ],
)
def test_statistics_are_believed_within_bounds(
    member: str, value: float, is_believed: bool
) -> None:
    told = json.loads(encode_core_message(PathsReport(paths=(PATH,), is_periodic=True)))
    told["paths"][0][member] = value
    packet = json.dumps(told).encode()
    if is_believed:
        message = decode_core_message(packet)
        assert isinstance(message, PathsReport)
        assert getattr(message.paths[0], member) == value
    else:
        with pytest.raises(MemberError):
            decode_core_message(packet)
