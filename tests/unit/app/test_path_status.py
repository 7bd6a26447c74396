"""What the status says of a connection."""

from mqvpn_core.app.path_status import connection_counts, send_loss_counts
from mqvpn_core.runtime.outbox import SendLosses
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


def test_packets_that_no_socket_took_are_counted_by_reason() -> None:
    assert send_loss_counts(SendLosses(no_room_count=2, no_socket_count=3)) == {
        "dropped: no room in a socket": 2,
        "dropped: no socket": 3,
    }
