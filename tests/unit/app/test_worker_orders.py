"""What a parent orders its workers to do crosses unchanged; what is no order is refused."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Network, ip_address, ip_interface, ip_network
from pathlib import Path
from types import MappingProxyType

import pytest

from mqvpn_core.app.worker_orders import (
    Begin,
    Order,
    Reload,
    Stop,
    UsersGone,
    decode_order,
    encode_order,
    for_worker,
    receive_begin,
    reload_orders,
)
from mqvpn_core.config import HostPort, RetryMode, ServerConfig
from mqvpn_core.config.secret_values import HashedKey, Secret
from mqvpn_core.config.settings import QuicConfig
from mqvpn_core.errors import DecodeError, HostLostError
from mqvpn_core.ids import SocketAddress
from mqvpn_core.quic.connection_steering import ConnectionSteering, SteeringKey
from mqvpn_core.runtime.worker_messages import AddressMoved, LeaseLost
from mqvpn_helper.interface.host_plan import HostPlan

KEY = HashedKey.from_key(Secret("a key of a server"), bytes(16))
CONFIG = ServerConfig(
    cert_file=Path("/etc/cert.pem"),
    key_file=Path("/etc/key.pem"),
    listen=(HostPort(host="192.0.2.1", port=4433), HostPort(host="::")),
    shared_key=KEY,
    users=MappingProxyType({"alice": KEY}),
    users_file=Path("/etc/users"),
    subnet6=IPv6Network("fd00::/64"),
    advertise=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
    retry=RetryMode.NEVER,
    site=Path("/srv"),
    mtu=1400,
    dns=(ip_address("9.9.9.9"), ip_address("2620:fe::fe")),
    quic=QuicConfig(keep_alive=0.0, idle_timeout=12.5),
    workers=3,
    max_handshakes=256,
)
SHORTEST_BUFFER = 212992  # net.core.wmem_max as Linux sets it
PLAN = HostPlan(
    tun_name="mqvpn0",
    mtu=1400,
    addresses=(ip_interface("10.0.0.1/24"), ip_interface("fd00::1/64")),
    forward_ipv4=True,
    nat_sources=(ip_network("10.0.0.0/24"),),
    isolate_clients=True,
)
BEGIN = Begin(
    config=for_worker(CONFIG),
    steering=ConnectionSteering(key=SteeringKey(first=1, second=3, offset=9), count=3, own=1),
    sockets=((7, SocketAddress("192.0.2.1", 4433)), (8, SocketAddress("::", 443))),
    tun=9,
    plan=PLAN,
    inbox=10,
    outboxes=(11, None, 12),
    desk=13,
    readers=(14, 15),
)
ORDERS: tuple[Order, ...] = (
    BEGIN,
    UsersGone(users=frozenset({None, "alice", "bob"})),
    UsersGone(users=frozenset()),
    Reload(config=for_worker(CONFIG)),
    Reload(config=for_worker(replace(CONFIG, mtu=None, subnet6=None))),
    Stop(),
    AddressMoved(address=ip_address("10.0.0.7"), worker=2),
    AddressMoved(address=ip_address("fd00::7"), worker=None),
    LeaseLost(address=ip_address("fd00::7"), generation=1 << 40),
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        yield near, far


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_an_order_crosses_unchanged(order: Order) -> None:
    assert decode_order(encode_order(order)) == order


def test_a_worker_is_given_no_keys_and_its_share_of_the_handshakes() -> None:
    data = encode_order(BEGIN).decode()
    assert KEY.digest.hex() not in data
    assert "alice" not in data
    assert BEGIN.config.max_handshakes == 86


@pytest.mark.parametrize(
    ("clients", "workers", "share"), [(1000, 1, 1000), (2, 2, 2), (10000, 4, 2806)]
)
def test_a_worker_has_its_share_of_the_clients(clients: int, workers: int, share: int) -> None:
    config = for_worker(replace(CONFIG, max_clients=clients, workers=workers))
    assert config.max_clients == share


def test_any_number_of_users_may_go_at_once() -> None:
    users = frozenset(
        {None, *(f"{number}\N{ROCKET}".ljust(255, "\N{ROCKET}") for number in range(999))}
    )
    *gone, reload = reload_orders(CONFIG, users)
    told = [order.users for order in gone if isinstance(order, UsersGone)]
    assert len(told) == len(gone)
    assert frozenset().union(*told) == users
    assert reload == Reload(config=for_worker(CONFIG))
    assert max(len(encode_order(order)) for order in gone) < SHORTEST_BUFFER


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[" * 5000,
        b"[]",
        b"{}",
        b'{"order":3,"with":{}}',
        b'{"order":"dance","with":{}}',
        b'{"order":"stop"}',
        b'{"order":"stop","with":[]}',
        b'{"order":"stop","with":{"now":true}}',
        b'{"order":"lease_lost","with":{"address":"10.0.0.7"}}',
        b'{"order":"lease_lost","with":{"address":"10.0.0","generation":1}}',
        b"cposix\nsystem\n(S'true'\ntR.",
    ],
)
def test_what_is_no_order_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_order(data)


def test_each_setting_of_a_begin_is_checked() -> None:
    message = json.loads(encode_order(BEGIN))
    message["with"]["config"]["retry"] = "sometimes"
    with pytest.raises(DecodeError, match="config: retry: "):
        decode_order(json.dumps(message).encode())


def test_a_worker_begins_with_its_first_order(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    near.send(encode_order(BEGIN))
    assert receive_begin(far) == BEGIN


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"nonsense", "makes no sense"),
        (encode_order(Stop()), "does not begin at the beginning"),
    ],
)
def test_a_worker_does_not_begin_with_anything_else(
    pair: tuple[socket.socket, socket.socket], data: bytes, message: str
) -> None:
    near, far = pair
    near.send(data)
    with pytest.raises(HostLostError, match=message):
        receive_begin(far)


def test_a_worker_without_parent_does_not_begin(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    near.close()
    with pytest.raises(HostLostError, match="gone"):
        receive_begin(far)
