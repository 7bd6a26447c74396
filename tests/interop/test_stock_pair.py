"""Stock aioquic against itself in the simulator: proves the ground the other tests stand on."""

import pytest

from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.testing.entropy import seeded_libraries
from mqvpn_core.testing.link_elements import Delay, Jitter, LinkElement, Loss, RateLimit
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.simulator import Simulator
from tests.interop.stock import (
    StockClient,
    StockServer,
    client_configuration,
    server_configuration,
)

CLIENT = SocketAddress("10.0.0.2", 5000)
SERVER = SocketAddress("192.0.2.1", 443)
UPLOAD = bytes(range(256)) * 200


def transfer(seed: int, elements: list[LinkElement]) -> str:
    """Upload something over a stock pair; return the hash of the trace."""
    simulator = Simulator(seed)
    with seeded_libraries(seed):
        client = StockClient(client_configuration(), FourTuple(CLIENT, SERVER), is_http=False)
        server = StockServer(server_configuration(), is_http=False)
        simulator.add_host("client", client, [Link("wifi", CLIENT.host, elements)])
        simulator.add_host("server", server, [Link("eth0", SERVER.host, [Delay(0.01)])])
        client.connect(simulator.now)
        simulator.run_until(lambda: client.connection.is_connected, limit=20)
        client.connection.quic.send_stream_data(0, UPLOAD, end_stream=True)

        def is_uploaded() -> bool:
            connection = server.connection
            return connection is not None and connection.stream_bytes(0) == UPLOAD

        simulator.run_until(is_uploaded, limit=60)
        client.connection.quic.close()
        simulator.run_until(lambda: client.connection.termination is not None, limit=60)
    return simulator.trace.digest()


def test_one_seed_gives_one_trace() -> None:
    wild: list[LinkElement] = [Loss(0.05), Jitter(0.01), RateLimit(125_000, 20_000)]
    assert transfer(3, wild) == transfer(3, wild)


@pytest.mark.parametrize("seed", range(5))
def test_stock_transfers_under_loss(seed: int) -> None:
    assert transfer(seed, [Delay(0.02), Loss(0.03)])
