"""Whether there is multipath at all: transport parameters and what they allow (RFC 10069 s2)."""

from dataclasses import replace

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from typing_extensions import override

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import FourTuple, PathId, SocketAddress
from mqvpn_core.quic.aioquic_bridge.engine import EngineConnection
from mqvpn_core.quic.aioquic_bridge.peer_parameters import PeerParameters
from mqvpn_core.quic.events import HandshakeCompleted, PathIdsAvailable
from mqvpn_core.quic.path_manager import PathUnavailableError
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.entropy import seeded_libraries
from mqvpn_core.testing.link_elements import Delay
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.multi_pair import MULTIPATH, MultiPair
from mqvpn_core.testing.pair import PairConfig
from mqvpn_core.testing.simulator import Simulator
from mqvpn_core.wire.code_points import TransportErrorCode as E
from mqvpn_core.wire.code_points import TransportParameter
from mqvpn_core.wire.path_frame_coding import encode_path_frame
from mqvpn_core.wire.path_frames import (
    MaxPathId,
    PathAbandon,
    PathFrame,
    PathStatusBackup,
)
from mqvpn_core.wire.varint import encode_varint
from tests.interop.ours import OurHttpClient, OurHttpServer
from tests.interop.stock import (
    StockClient,
    StockConnection,
    StockServer,
    client_configuration,
    server_configuration,
)
from tests.simulation.multipath.path_rules import PathRules
from tests.simulation.multipath.scene import ROLES, Liar, Scene, both_roles, opened

CLIENT = SocketAddress("10.0.0.2", 5000)
SERVER = SocketAddress("192.0.2.1", 443)
SINGLE = TransportConfig()


def raw_parameter(value: bytes) -> bytes:
    return encode_varint(TransportParameter.INITIAL_MAX_PATH_ID) + bytes([len(value)]) + value


def advertise(monkeypatch: pytest.MonkeyPatch, role: str, value: bytes) -> None:
    """Let one end send these bytes as its initial_max_path_id, whatever it is set to."""
    original = EngineConnection._serialize_transport_parameters

    def serialize(engine: EngineConnection) -> bytes:
        if engine.is_client is not (role == "client"):
            return original(engine)
        offered, engine._initial_max_path_id = engine._initial_max_path_id, None
        parameters = original(engine)
        engine._initial_max_path_id = offered
        return parameters + raw_parameter(value)

    monkeypatch.setattr(EngineConnection, "_serialize_transport_parameters", serialize)


@pytest.mark.parametrize("who_offers", ROLES)
def test_mp_01_one_offer_alone_changes_nothing(who_offers: str) -> None:
    """The wiretap would fail at a multipath frame: the rules know no limit of the other side."""
    config = PairConfig(
        client=MULTIPATH if who_offers == "client" else SINGLE,
        server=MULTIPATH if who_offers == "server" else SINGLE,
    )
    with MultiPair(1, config) as pair:
        scene = Scene(pair, PathRules(pair))
        pair.handshake()
        scene.transfer(100_000)
        pair.client.request_key_update(pair.simulator.now)
        scene.transfer()
        for peer in (pair.client, pair.server):
            assert not peer.connection.multipath_negotiated
            assert [event.multipath for event in peer.events_of(HandshakeCompleted)] == [False]
        seen = {kind for packet in scene.rules.wiretap.packets for kind in packet.frame_types}
        assert not {kind for kind in seen if kind >= 0x3E}
        assert 0x02 in seen
        with pytest.raises(LocalProtocolError, match="multipath handshake"):
            pair.open(1)
        scene.rules.finish()


@both_roles
def test_mp_01_a_stock_peer_never_meets_multipath(role: str) -> None:
    """Stock aioquic closes at the first unknown frame."""
    four_tuple = FourTuple(CLIENT, SERVER)
    with seeded_libraries(1):
        simulator = Simulator(1)
        ours: OurHttpClient | OurHttpServer
        stock: StockClient | StockServer
        if role == "client":
            ours, stock = OurHttpClient(four_tuple, MULTIPATH), StockServer(server_configuration())
            simulator.add_host("client", ours, [Link("wifi", CLIENT.host, [Delay(0.01)])])
            simulator.add_host("server", stock, [Link("eth0", SERVER.host)])
            ours.connect(simulator.now)
        else:
            stock, ours = StockClient(client_configuration(), four_tuple), OurHttpServer(MULTIPATH)
            simulator.add_host("client", stock, [Link("wifi", CLIENT.host, [Delay(0.01)])])
            simulator.add_host("server", ours, [Link("eth0", SERVER.host)])
            stock.connect(simulator.now)
        simulator.run_for(3.0)
        connection = stock.connection
        assert isinstance(connection, StockConnection)
        assert connection.is_connected
        assert connection.termination is None
        assert not ours.http.connection.multipath_negotiated


@both_roles
@pytest.mark.parametrize(
    "frame",
    [
        PathAbandon(path_id=PathId(0), error_code=0),
        PathStatusBackup(path_id=PathId(0), sequence_number=0),
        MaxPathId(maximum_path_id=4),
    ],
    ids=["abandon", "status", "limit"],
)
@pytest.mark.parametrize("victim_offers", [True, False])
def test_mp_02_without_negotiation_the_frames_are_unknown(
    frame: PathFrame, victim_offers: bool, role: str
) -> None:
    offers = {role: not victim_offers, _other(role): victim_offers}
    config = PairConfig(
        client=MULTIPATH if offers["client"] else SINGLE,
        server=MULTIPATH if offers["server"] else SINGLE,
    )
    with MultiPair(1, config) as pair:
        scene = Scene(pair, PathRules(pair))
        pair.handshake()
        scene.run()
        liar = Liar(scene, role)
        liar.say(encode_path_frame(frame).rjust(20, b"\1"))
        liar.assert_victim_closes(E.FRAME_ENCODING_ERROR)


def test_mp_03_path_0_is_sealed_as_without_the_extension() -> None:
    """The wiretap computes nonces by RFC 9001 where the path ID is 0, in both cases."""
    for config in (PairConfig(), PairConfig(client=MULTIPATH, server=MULTIPATH)):
        with MultiPair(1, config) as pair:
            scene = Scene(pair, PathRules(pair))
            pair.handshake()
            scene.transfer()
            assert {packet.path_id for packet in scene.rules.wiretap.packets} == {0}
            scene.rules.finish()


def test_mp_04_our_own_settings_stay_in_range() -> None:
    for value in (-1, 0, 65, 2**32):
        with pytest.raises(LocalProtocolError):
            TransportConfig(initial_max_path_id=value)
    assert TransportConfig(initial_max_path_id=64).initial_max_path_id == 64


@both_roles
@pytest.mark.parametrize(
    "value",
    [
        encode_varint(2**32),
        encode_varint(2**62 - 1),
        b"",
        encode_varint(4) + b"\0",
        b"\x40",
    ],
    ids=["2^32", "2^62-1", "empty", "trailing", "cut short"],
)
def test_mp_05_a_bad_value_is_a_transport_parameter_error(
    value: bytes, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    advertise(monkeypatch, role, value)
    with MultiPair(1) as pair:
        pair.connect()
        pair.simulator.run_for(2.0)
        victim = pair.server if role == "client" else pair.client
        assert victim.termination is not None
        assert victim.termination.error_code == E.TRANSPORT_PARAMETER_ERROR
        assert not victim.termination.by_peer


@both_roles
def test_a_bad_value_means_nothing_to_who_does_not_offer_multipath(
    role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9000 s7.4.2: parameters that are not supported are ignored."""
    advertise(monkeypatch, role, encode_varint(2**32))
    # The other end offers nothing, and the liar's engine adds the bad value all the same.
    with MultiPair(1, PairConfig(client=SINGLE, server=SINGLE)) as pair:
        pair.handshake()
        assert not pair.client.connection.multipath_negotiated
        assert not pair.server.connection.multipath_negotiated


@both_roles
def test_mp_05_the_largest_value_is_accepted(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    advertise(monkeypatch, role, encode_varint(2**32 - 1))
    with MultiPair(1) as pair:
        pair.handshake()
        pair.simulator.run_for(1.0)
        assert pair.open(1) == 1


def test_mp_06_our_connection_ids_are_never_empty() -> None:
    with opened(3) as scene:
        packets = scene.rules.wiretap.packets
        assert {len(packet.destination_cid) for packet in packets} == {8}
        for peer in (scene.client, scene.server):
            ids = peer.connection.local_connection_ids.all_connection_ids
            assert {len(cid) for cid in ids} == {8}


class _NamelessClient(QuicConnection):
    """A stock client without connection IDs that nevertheless asks for multipath."""

    @override
    def _serialize_transport_parameters(self) -> bytes:
        return super()._serialize_transport_parameters() + raw_parameter(b"\x04")


@pytest.mark.parametrize("length", [0, 8])
def test_mp_07_multipath_without_connection_ids_is_a_violation(length: int) -> None:
    configuration: QuicConfiguration = replace(client_configuration(), connection_id_length=length)
    with seeded_libraries(1):
        simulator = Simulator(1)
        client = StockClient(configuration, FourTuple(CLIENT, SERVER), is_http=False)
        quic = _NamelessClient(configuration=configuration)
        # RFC 9000 s7.2: the first destination connection ID has at least 8 bytes all the same.
        quic._peer_cid.cid = quic._original_destination_connection_id = b"8 bytes!"
        client.connection.quic = quic
        server = OurHttpServer(MULTIPATH)
        simulator.add_host("client", client, [Link("wifi", CLIENT.host, [Delay(0.01)])])
        simulator.add_host("server", server, [Link("eth0", SERVER.host)])
        client.connect(simulator.now)
        simulator.run_for(5.0)
        end = client.connection.termination
        assert end is not None
        if length:
            # Accepted; then the stock client meets frames that it does not know.
            assert end.error_code == E.FRAME_ENCODING_ERROR
            assert server.http.connection.multipath_negotiated
        else:
            assert end.error_code == E.PROTOCOL_VIOLATION


def test_mp_09_the_value_is_not_remembered_for_resumption() -> None:
    """The ticket is of a multipath connection; the server of the second one has no multipath."""
    with MultiPair(1) as pair:
        pair.handshake()
        pair.simulator.run_for(1.0)
        (ticket, *_) = pair.tickets.values()
        pair.client.close(0, "done")
        pair.simulator.run_for(5.0)
        endpoint = pair.server_node.endpoint
        endpoint.set_config(replace(endpoint._config, transport=SINGLE))
        pair.new_client("second", ticket=ticket)
        pair.connect()
        pair.simulator.run_until(lambda: pair.client.connection.handshake_confirmed, limit=10)
        (event,) = pair.client.events_of(HandshakeCompleted)
        assert event.session_resumed
        assert not event.multipath
        assert pair.client.connection._path_ids.usable_maximum == 0


def test_mp_09_what_a_ticket_says_counts_for_nothing() -> None:
    with MultiPair(1) as pair:
        engine = pair.client.connection.engine
        identifier = encode_varint(TransportParameter.INITIAL_MAX_PATH_ID)
        engine._parse_transport_parameters(identifier + b"\x01\x05", from_session_ticket=True)
        assert engine.peer_parameters == PeerParameters()


def test_mp_10_zero_switches_the_extension_on_and_a_later_limit_opens_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    advertise(monkeypatch, "client", b"\0")
    with MultiPair(1) as pair:
        client, server = pair.client.connection, pair.server_node
        client._path_ids.local_maximum = 0
        pair.handshake()
        pair.simulator.run_for(1.0)
        assert client.multipath_negotiated
        assert server.peer.connection.multipath_negotiated
        assert not server.peer.connection.local_connection_ids.active(PathId(1))
        with pytest.raises(PathUnavailableError):
            pair.open(1)
        client._path_ids.local_maximum = 2
        client._exchange.issue_for_unused()
        client._sources.control_frames.push(encode_path_frame(MaxPathId(maximum_path_id=2)))
        pair.simulator.run_for(1.0)
        assert pair.client.events_of(PathIdsAvailable)
        assert pair.open(1) == 1
        pair.simulator.run_for(1.0)
        assert pair.client.paths[PathId(1)].state == "active"


def test_mp_11_the_limit_is_inclusive() -> None:
    one = TransportConfig(initial_max_path_id=1)
    with opened(2, config=PairConfig(client=one, server=one)) as scene:
        assert scene.states("client") == {0: "active", 1: "active"}
        with pytest.raises(PathUnavailableError):
            scene.pair.open(1)
        for peer in (scene.client, scene.server):
            local = peer.connection.local_connection_ids
            assert local.active(PathId(1))
            assert not local.active(PathId(2))


def test_mp_13_a_server_may_forbid_paths_to_its_handshake_address() -> None:
    with MultiPair(1) as pair:
        pair.handshake()
        pair.simulator.run_for(1.0)
        engine = pair.client.connection.engine
        engine.peer_parameters = replace(engine.peer_parameters, disable_active_migration=True)
        with pytest.raises(LocalProtocolError, match="forbids"):
            pair.open(1)
        # "establishment of additional paths to other peer addresses ... is immediately valid"
        elsewhere = pair.four_tuple(1)._replace(remote=SocketAddress("192.0.2.99", 443))
        assert pair.client.connection.open_path(elsewhere, pair.simulator.now) == 1


def test_mp_13_the_parameter_is_read_from_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    original = EngineConnection._serialize_transport_parameters
    flag = encode_varint(TransportParameter.DISABLE_ACTIVE_MIGRATION) + b"\0"

    def serialize(engine: EngineConnection) -> bytes:
        return original(engine) + (b"" if engine.is_client else flag)

    monkeypatch.setattr(EngineConnection, "_serialize_transport_parameters", serialize)
    with MultiPair(1) as pair:
        pair.handshake()
        pair.simulator.run_for(1.0)
        with pytest.raises(LocalProtocolError, match="forbids"):
            pair.open(1)


def test_mp_14_a_preferred_address_opens_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection ID is number 1 of path 0; we stay where we are, and path 0 stays path 0."""
    original = EngineConnection._serialize_transport_parameters
    address = bytes([192, 0, 2, 77]) + (443).to_bytes(2) + bytes(18) + b"\x08" + b"prefaddr"

    def serialize(engine: EngineConnection) -> bytes:
        parameters = original(engine)
        if engine.is_client:
            return parameters
        value = address + bytes(range(16))
        return parameters + encode_varint(0x0D) + encode_varint(len(value)) + value

    monkeypatch.setattr(EngineConnection, "_serialize_transport_parameters", serialize)
    with MultiPair(1) as pair:
        pair.connect()
        pair.simulator.run_until(lambda: bool(pair.server_node.peers), limit=1.0)
        # Our server has no preferred address: the one that it lies about takes up number 1.
        pair.server.connection.local_connection_ids._register(PathId(0), b"prefaddr")
        pair.simulator.run_for(2.0)
        assert {datagram.four_tuple.remote for datagram in pair.client.paths.values()} == {SERVER}
        assert list(pair.client.paths) == [0]
        # Its connection ID is one like any other: used in its turn, and then retired.
        for _ in range(2):
            pair.client.connection._exchange.rotate(PathId(0))
            pair.client.send_datagrams([b"x"], pair.simulator.now)
            pair.simulator.run_for(0.5)
        server_ids = pair.server.connection.local_connection_ids
        assert server_ids.lookup(b"prefaddr") is None
        assert pair.server.received_datagrams == [b"x", b"x"]


def _other(role: str) -> str:
    return "server" if role == "client" else "client"
