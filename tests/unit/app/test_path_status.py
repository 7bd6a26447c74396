"""What the status says of a connection."""

from mqvpn_core.app.path_status import connection_counts
from mqvpn_core.testing.pair import Pair


def test_packets_that_never_left_are_counted() -> None:
    with Pair(1) as pair:
        pair.handshake()
        connection = pair.client.connection
        assert connection_counts(connection) == {
            "dropped: queue too long": 0,
            "marked: queue too long": 0,
            "undecryptable": 0,
        }
        size = pair.config.client.datagram_queue_bytes // 1000
        connection.queue_datagrams(b"", [bytes(1000)] * (size + 10), pair.simulator.now)
        assert connection_counts(connection)["dropped: queue too long"] >= 10
