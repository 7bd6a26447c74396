"""Who gets a tunnel, and what everybody else gets."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from mqvpn_core.ids import StreamId
from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.route_ranges import ranges_of_networks
from mqvpn_core.masque.server_events import (
    AuthenticationFailed,
    ClientAuthenticated,
    NameResolutionWanted,
    ResolutionFailure,
    TunnelClosed,
    TunnelOpened,
)
from mqvpn_core.masque.site import NOT_FOUND_PAGE, make_page
from mqvpn_core.quic.events import ConnectionTerminated
from mqvpn_core.quic.http3_events import (
    RequestReset,
)
from mqvpn_core.wire.address_capsules import RouteAdvertisement
from mqvpn_core.wire.code_points import Http3ErrorCode
from tests.unit.masque.samples import (
    KEY,
    PATH,
    TCP,
    UDP,
    Headers,
    OneKey,
    advertise,
    assign,
    assign_answers,
    at,
    capsules_of,
    ipv4_packet,
    policy_of,
    request_addresses,
    route,
    server_events,
)
from tests.unit.masque.server_scene import (
    DUAL,
    OPENED,
    Scene,
    get,
    opened,
    refusal_of,
    request,
)


def test_checklist_29_31_a_request_with_credentials_opens_a_tunnel() -> None:
    scene = Scene()
    assert scene.ask(request()) == [ClientAuthenticated(user="alice"), OPENED]
    sent = scene.http3.sent()
    assert sent.headers == [((b":status", b"200"), (b"capsule-protocol", b"?1"))]
    assert not sent.is_finished
    assert sent.data == assign("10.0.0.2/32") + advertise(route("0.0.0.0/0"))
    assert scene.addresses == [ip_address("10.0.0.2")]


def test_both_families_are_assigned_and_advertised() -> None:
    scene = opened(*DUAL)
    assert scene.http3.sent().data == assign("10.0.0.2/32", "fd00::2/128") + advertise(
        route("0.0.0.0/0"), route("::/0")
    )


@pytest.mark.parametrize("value", [None, b"?0", b'"1"', b"?1"])
def test_checklist_19_capsule_protocol_is_never_required(value: bytes | None) -> None:
    extra = () if value is None else ((b"capsule-protocol", value),)
    scene = Scene()
    assert scene.ask(request(PATH, *extra))[-1] == OPENED


@pytest.mark.parametrize(
    "key", [None, b"", b"Bearer wrong", b"Bearer", b"Basic cmlnaHQ=", KEY + b" "]
)
@pytest.mark.parametrize(
    "path", [PATH, b"/", b"/.well-known/masque/ip/300%2F/x/", b"/unknown", b"/%zz"]
)
def test_checklist_31_without_credentials_a_probe_learns_nothing(
    key: bytes | None, path: bytes
) -> None:
    key = None if key is not None and key.endswith(b" ") else key
    own_page = make_page(404, b"<p>nothing here</p>", extra=((b"x-site", b"1"),))
    scene = Scene(replace(policy_of(), not_found=own_page))
    events = scene.ask(request(path, key=key))
    assert events == [AuthenticationFailed(peer_host="192.0.2.9", is_rate_limited=False)]
    sent = scene.http3.sent()
    assert sent.headers == [((b":status", b"404"), *own_page.headers)]
    assert (sent.data, sent.is_finished, sent.aborted_with) == (own_page.body, True, None)


def test_checklist_31_nor_by_fields_or_protocols_that_do_not_fit() -> None:
    answers = []
    for headers in (
        request(key=None),
        request(PATH, (b"content-length", b"5"), key=None),
        request(protocol=b"connect-udp", key=None),
        request(protocol=b"connect-udp"),
        request(authority=b"other.example.org", key=None),
        request(scheme=b"http", key=None),
        request(b"/.well-known/masque/ip/nowhere.invalid/17/", key=None),
    ):
        scene = Scene(replace(policy_of(), authorities=frozenset({b"vpn.example.org"})))
        scene.ask(headers)
        answers.append(refusal_of(scene))
    assert answers == [(b"404", dict(answers[0][1]), NOT_FOUND_PAGE.body)] * len(answers)


def test_checklist_31_the_challenge_is_opt_in() -> None:
    policy = replace(policy_of(), auth_challenge=True)
    scene = Scene(policy)
    scene.ask(request(key=b"Bearer wrong"))
    status, fields, _ = refusal_of(scene)
    assert (status, fields[b"www-authenticate"]) == (b"401", b'Bearer realm="tunnel"')
    assert b"capsule-protocol" not in fields


def test_rate_limited_attempts() -> None:
    authenticator = OneKey()
    authenticator.limited = True
    hidden = Scene(policy_of(authenticator=authenticator))
    assert hidden.ask(request()) == [
        AuthenticationFailed(peer_host="192.0.2.9", is_rate_limited=True)
    ]
    assert refusal_of(hidden)[0] == b"404"
    open_about_it = Scene(replace(hidden.policy, auth_challenge=True))
    open_about_it.ask(request())
    status, fields, _ = refusal_of(open_about_it)
    assert (status, fields[b"retry-after"]) == (b"429", b"31")
    assert authenticator.asked == [(KEY, "192.0.2.9")] * 2


def test_repeated_authorization_is_none() -> None:
    scene = Scene()
    scene.ask(request(PATH, (b"authorization", KEY)))
    assert refusal_of(scene)[0] == b"404"


def test_an_unknown_protocol_is_not_implemented() -> None:
    scene = Scene(replace(policy_of(), auth_challenge=True))
    scene.ask(request(protocol=b"connect-udp"))
    assert refusal_of(scene)[0] == b"501"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((*get(), (b":protocol", b"connect-ip")), id="get with protocol"),
        pytest.param(request(b""), id="empty path"),
        pytest.param(request(scheme=b""), id="empty scheme"),
        pytest.param(request(authority=b""), id="empty authority"),
        pytest.param(request(PATH, (b"Upper", b"x")), id="upper case"),
        pytest.param(request(PATH, (b"content-length", b"0")), id="content-length"),
        pytest.param(request(PATH, (b"content-type", b"x")), id="content-type"),
        pytest.param(request(b"/.well-known/masque/ip/10.0.0.1%2F8/6/"), id="host bits"),
        pytest.param(request(b"/.well-known/masque/ip/10.0.0.0%2F33/6/"), id="prefix 33"),
        pytest.param(request(b"/.well-known/masque/ip/fe80%3A%3A1%25eth0/6/"), id="zone"),
        pytest.param(request(b"/.well-known/masque/ip/*/256/"), id="ipproto 256"),
        pytest.param(request(b"/.well-known/masque/ip/*/udp/"), id="ipproto text"),
        pytest.param(request(b"/.well-known/masque/ip//17/"), id="empty target"),
        pytest.param(request(b"/.well-known/masque/ip/*//"), id="empty ipproto"),
    ],
)
def test_checklist_15_29_32_malformed_requests_are_stream_errors(headers: Headers) -> None:
    scene = Scene()
    assert scene.ask(headers) == []
    sent = scene.http3.sent()
    assert (sent.aborted_with, sent.headers) == (Http3ErrorCode.H3_MESSAGE_ERROR, [])
    # The connection stays; the next request is served.
    assert scene.ask(request(), stream=4)[-1] == replace(OPENED, stream_id=StreamId(4))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (request(b"/.well-known/masque/ip/*/*"), b"404"),
        (request(b"/"), b"404"),
        (request(authority=b"other.example.org"), b"421"),
        (request(scheme=b"http"), b"400"),
        (request(b"/.well-known/masque/ip/*/0/"), b"400"),
        (request(b"/.well-known/masque/ip/*/44/"), b"400"),
    ],
)
def test_checklist_34_requests_that_are_well_formed_but_refused(
    headers: Headers, status: bytes
) -> None:
    scene = Scene(replace(policy_of(), authorities=frozenset({b"vpn.example.org"})))
    scene.ask(headers)
    assert refusal_of(scene)[0] == status


def test_checklist_28_only_https_is_a_tunnel() -> None:
    scene = Scene()
    scene.ask(request(scheme=b"http"))
    assert refusal_of(scene)[0] == b"400"


def test_checklist_27_the_wildcards_may_be_percent_encoded_or_not() -> None:
    for path in (b"/.well-known/masque/ip/*/*/", b"/.well-known/masque/ip/%2A/%2a/"):
        assert Scene().ask(request(path))[-1] == OPENED


def test_authorities_are_compared_without_case() -> None:
    scene = Scene(replace(policy_of(), authorities=frozenset({b"vpn.example.org"})))
    assert scene.ask(request(authority=b"VPN.example.org"))[-1] == OPENED


def test_a_request_that_is_finished_at_once_opens_nothing() -> None:
    scene = Scene()
    assert scene.ask(request(), fin=True) == [ClientAuthenticated(user="alice")]
    assert refusal_of(scene)[0] == b"400"


def routes_sent(scene: Scene) -> RouteAdvertisement:
    capsule = capsules_of(scene.http3.sent().data)[1]
    assert isinstance(capsule, RouteAdvertisement)
    return capsule


@pytest.mark.parametrize(
    ("scope", "assigned", "ranges"),
    [
        (b"10.0.0.0%2F8/6/", ("10.0.0.2/32",), (route("10.0.0.0/8", None, TCP),)),
        (b"2001%3Adb8%3A%3A%2F32/*/", ("fd00::2/128",), (route("2001:db8::/32"),)),
        (b"198.51.100.7/17/", ("10.0.0.2/32",), (route("198.51.100.7/32", None, UDP),)),
        (
            b"*/17/",
            ("10.0.0.2/32", "fd00::2/128"),
            (route("0.0.0.0/0", None, UDP), route("::/0", None, UDP)),
        ),
    ],
)
def test_checklist_32_34_a_scoped_request_gets_the_routes_of_its_scope(
    scope: bytes, assigned: tuple[str, ...], ranges: tuple[object, ...]
) -> None:
    scene = Scene(policy_of(*DUAL))
    scene.ask(request(b"/.well-known/masque/ip/" + scope))
    assert routes_sent(scene).ranges == ranges
    assert scene.http3.sent().data.startswith(assign(*assigned))


def test_checklist_34_a_scoped_tunnel_forwards_its_scope_and_icmp_only() -> None:
    scene = Scene()
    scene.ask(request(b"/.well-known/masque/ip/198.51.100.0%2F24/17/"))
    me = "10.0.0.2"
    inside = ipv4_packet(me, "198.51.100.7", protocol=UDP)
    ping = ipv4_packet(me, "198.51.100.7", protocol=1)
    wrong_protocol = ipv4_packet(me, "198.51.100.7", protocol=TCP)
    outside = ipv4_packet(me, "203.0.113.7", protocol=UDP)
    got = scene.datagrams(*(b"\x00" + packet for packet in (inside, ping, wrong_protocol, outside)))
    assert got == [inside, ping]
    assert scene.session.counters.drops == {DropReason.OUT_OF_SCOPE: 1, DropReason.NO_ROUTE: 1}


def test_a_scope_outside_the_servers_routes_is_refused() -> None:
    lan = ranges_of_networks([ip_network("192.168.0.0/16")])
    for policy in (
        replace(policy_of(), routes=lan),
        replace(policy_of(), denied=(ip_network("198.51.0.0/16"),)),
        policy_of("fd00::/64"),
    ):
        scene = Scene(policy)
        scene.ask(request(b"/.well-known/masque/ip/198.51.100.7/*/"))
        status, fields, _ = refusal_of(scene)
        assert status == b"403"
        assert fields[b"proxy-status"] == b"mqvpn; error=destination_ip_prohibited"


def resolving(path: bytes = b"/.well-known/masque/ip/www.example.com/17/") -> Scene:
    scene = Scene(policy_of(*DUAL))
    assert scene.ask(request(path)) == [
        ClientAuthenticated(user="alice"),
        NameResolutionWanted(token=StreamId(0), name="www.example.com"),
    ]
    # RFC 9484 s4.1: before replying to the HTTP request.
    assert scene.http3.sent().headers == []
    return scene


def test_checklist_33_a_name_is_resolved_before_the_answer() -> None:
    scene = resolving()
    addresses = (ip_address("2001:db8::7"), ip_address("198.51.100.7"), ip_address("198.51.100.9"))
    scene.session.resolved(StreamId(0), addresses, at(0.1))
    assert isinstance(server_events(scene.session)[0], TunnelOpened)
    assert routes_sent(scene).ranges == (
        route("198.51.100.7/32", None, UDP),
        route("198.51.100.9/32", None, UDP),
        route("2001:db8::7/128", None, UDP),
    )


@pytest.mark.parametrize(
    ("outcome", "status", "error"),
    [
        (ResolutionFailure.NOT_FOUND, b"502", b"mqvpn; error=dns_error"),
        (ResolutionFailure.TIMED_OUT, b"504", b"mqvpn; error=dns_timeout"),
        ((), b"502", b"mqvpn; error=dns_error"),
    ],
)
def test_checklist_33_a_name_without_address_is_refused(
    outcome: tuple[()] | ResolutionFailure, status: bytes, error: bytes
) -> None:
    scene = resolving()
    scene.session.resolved(StreamId(0), outcome, at(0.1))
    got, fields, _ = refusal_of(scene)
    assert (got, fields[b"proxy-status"]) == (status, error)
    scene.session.resolved(StreamId(0), (ip_address("198.51.100.7"),), at(0.2))
    assert server_events(scene.session) == []


def test_capsules_that_come_during_resolution_are_kept() -> None:
    scene = resolving()
    assert scene.data(request_addresses((7, "0.0.0.0/32"))) == []
    assert scene.datagrams(b"\x00" + ipv4_packet("10.0.0.2", "198.51.100.7")) == []
    scene.session.resolved(StreamId(0), (ip_address("198.51.100.7"),), at(0.1))
    assert scene.http3.sent().data.endswith(assign_answers((7, "10.0.0.2/32")))


def test_a_client_may_give_up_during_resolution() -> None:
    for event in (
        RequestReset(stream_id=StreamId(0), error_code=0x10C),
        ConnectionTerminated(error_code=0, reason="", by_peer=True, is_application=True),
    ):
        scene = resolving()
        scene.http3.receive(event)
        assert scene.step() == []
        scene.session.resolved(StreamId(0), (ip_address("198.51.100.7"),), at(0.1))
        assert server_events(scene.session) == []
        assert scene.http3.sent().headers == []


def test_fin_during_resolution_opens_and_closes() -> None:
    scene = resolving()
    assert scene.data(b"", fin=True) == []
    scene.session.resolved(StreamId(0), (ip_address("198.51.100.7"),), at(0.1))
    assert [type(event) for event in server_events(scene.session)] == [TunnelOpened, TunnelClosed]


def test_much_data_during_resolution_is_refused() -> None:
    scene = resolving()
    assert scene.data(bytes(20_000)) == []
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_EXCESSIVE_LOAD
    scene.session.resolved(StreamId(0), (ip_address("198.51.100.7"),), at(0.1))
    assert server_events(scene.session) == []
