"""A network that duplicates packets gave a server a second connection that nobody wanted."""

import pytest

from mqvpn_core.testing.link_elements import Delay, Duplicate, UdpDatagram
from mqvpn_core.testing.pair import SERVER_ADDRESS, Pair, PairConfig


@pytest.mark.parametrize("later", [0.005, 0.1, 3.0])
def test_a_late_copy_of_the_first_initial_opens_no_connection(later: float) -> None:
    config = PairConfig(client_link=(Delay(0.01),))
    with Pair(1, config) as pair:
        first: list[UdpDatagram] = []

        def keep(now: float, what: str, datagram: UdpDatagram) -> None:
            del now
            if what == "delivered" and datagram.destination == SERVER_ADDRESS and not first:
                first.append(datagram)

        pair.simulator.add_tap(keep)
        pair.handshake()
        pair.simulator.run_for(later)
        pair.simulator.inject(first[0])
        pair.simulator.run_for(1.0)
        assert len(pair.server_node.endpoint.connections) == 1
        assert pair.client.connection.handshake_confirmed


def test_duplicated_handshakes_make_one_connection() -> None:
    with Pair(1, PairConfig(client_link=(Delay(0.01), Duplicate(1.0, 0.05)))) as pair:
        pair.handshake()
        pair.simulator.run_for(1.0)
        assert len(pair.server_node.endpoint.connections) == 1
        pair.client.close(0, "done")
        pair.simulator.run_for(40.0)
        assert not pair.server_node.endpoint.connections
        assert not pair.server_node.endpoint._routes
