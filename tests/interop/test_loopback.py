"""The same interoperation over real UDP sockets and real time, on the loopback interface."""

import hashlib

import pytest

from mqvpn_core.ids import FourTuple
from tests.interop.loopback import Loopback, real_now
from tests.interop.ours import OurHttpClient, OurHttpServer, body_of, request
from tests.interop.stock import (
    StockClient,
    StockServer,
    client_configuration,
    server_configuration,
)
from tests.interop.test_stock_server import answer

pytestmark = pytest.mark.slow

SIZE = 200_000
TIME_LIMIT = 20.0


def fetch_with_stock_client(loop: Loopback, client: StockClient, path: bytes, body: bytes) -> bytes:
    """Run one request of a stock client to its end."""
    stock = client.connection
    loop.run_until(lambda: stock.h3 is not None, limit=TIME_LIMIT)
    assert stock.h3 is not None
    stream_id = stock.quic.get_next_available_stream_id()
    method = b"POST" if body else b"GET"
    stock.h3.send_headers(stream_id, request(method, path), end_stream=not body)
    if body:
        stock.h3.send_data(stream_id, body, end_stream=True)
    loop.run_until(lambda: stock.has_ended(stream_id), limit=TIME_LIMIT)
    return stock.body(stream_id)


def fetch_with_our_client(loop: Loopback, client: OurHttpClient, path: bytes, body: bytes) -> bytes:
    """Run one request of our client to its end."""
    http = client.http
    loop.run_until(lambda: http.is_ready, limit=TIME_LIMIT)
    method = b"POST" if body else b"GET"
    stream_id = http.h3.open_request(request(method, path), end_stream=not body)
    if body:
        http.h3.send_data(stream_id, body, end_stream=True)
    loop.run_until(lambda: stream_id in http.ended, limit=TIME_LIMIT)
    return bytes(http.bodies[stream_id])


def test_a_stock_client_and_our_server() -> None:
    with Loopback() as loop:
        server = OurHttpServer()
        server_socket, server_address = loop.open_socket()
        client_socket, client_address = loop.open_socket()
        four_tuple = FourTuple(client_address, server_address)
        client = StockClient(client_configuration(), four_tuple)
        loop.add(server, server_socket)
        loop.add(client, client_socket)
        client.connect(real_now())
        assert fetch_with_stock_client(loop, client, b"/bytes/%d" % SIZE, b"") == body_of(SIZE)
        digest = fetch_with_stock_client(loop, client, b"/upload", body_of(SIZE))
        assert digest == hashlib.sha256(body_of(SIZE)).hexdigest().encode()
        client.connection.quic.close()
        loop.run_until(lambda: not server.endpoint.connections, limit=TIME_LIMIT)


def test_our_client_and_a_stock_server() -> None:
    with Loopback() as loop:
        server = StockServer(server_configuration(), answer=answer)
        server_socket, server_address = loop.open_socket()
        client_socket, client_address = loop.open_socket()
        client = OurHttpClient(FourTuple(client_address, server_address))
        loop.add(server, server_socket)
        loop.add(client, client_socket)
        client.connect(real_now())
        assert fetch_with_our_client(loop, client, b"/bytes/%d" % SIZE, b"") == body_of(SIZE)
        digest = fetch_with_our_client(loop, client, b"/upload", body_of(SIZE))
        assert digest == hashlib.sha256(body_of(SIZE)).hexdigest().encode()
        client.http.h3.close(0x100, "done")
        stock = server.connection
        assert stock is not None
        # Stock tells the end only when it has finished draining.
        loop.run_until(lambda: stock.termination is not None, limit=TIME_LIMIT)
        loop.run_until(lambda: client.connection.is_closed, limit=TIME_LIMIT)


def test_our_client_and_our_server() -> None:
    with Loopback() as loop:
        server = OurHttpServer()
        server_socket, server_address = loop.open_socket()
        client_socket, client_address = loop.open_socket()
        client = OurHttpClient(FourTuple(client_address, server_address))
        loop.add(server, server_socket)
        loop.add(client, client_socket)
        client.connect(real_now())
        assert fetch_with_our_client(loop, client, b"/bytes/%d" % SIZE, b"") == body_of(SIZE)
        digest = fetch_with_our_client(loop, client, b"/upload", body_of(SIZE))
        assert digest == hashlib.sha256(body_of(SIZE)).hexdigest().encode()
        client.http.h3.close(0x100, "done")
        loop.run_until(lambda: not server.endpoint.connections, limit=TIME_LIMIT)
