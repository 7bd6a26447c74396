"""Real connections over two links: what each strategy does with datagrams, also when a link dies.

client --- link0, 10 ms ---
                           >--- server
client --- link1, 30 ms ---
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.masque.sequenced_ip import SequencedIp
from mqvpn_core.quic.events import PathSuspected
from mqvpn_core.testing.link_elements import Delay
from mqvpn_core.testing.multi_pair import MULTIPATH, MultiPair
from mqvpn_core.testing.pair import PairConfig
from mqvpn_core.wire.http_datagrams import decode_context_id

FAST, SLOW = PathId(0), PathId(1)
SPACING = 0.005

pytestmark = pytest.mark.slow


@contextmanager
def two_links(strategy: str) -> Iterator[MultiPair]:
    transport = replace(
        MULTIPATH, scheduler=strategy, classify_datagram=lambda payload: payload[0], keep_alive=None
    )
    config = PairConfig(client=transport, server=transport)
    with MultiPair(7, config, ((Delay(0.01),), (Delay(0.03),))) as pair:
        pair.open_all()
        pair.simulator.run_for(1.0)
        yield pair


def payload(flow: int, number: int, size: int = 1000) -> bytes:
    return bytes([flow]) + number.to_bytes(2, "big") + bytes(size)


def numbers(pair: MultiPair, flow: int) -> list[int]:
    """What arrived of a flow, in order of arrival."""
    received = pair.server.received_datagrams
    return [int.from_bytes(data[1:3], "big") for data in received if data[0] == flow]


def send(pair: MultiPair, flows: range, count: int) -> None:
    """Let each flow send a packet every 5 ms."""
    for number in range(count):
        payloads = [payload(flow, number) for flow in flows]
        pair.client.send_datagrams(payloads, pair.simulator.now)
        pair.simulator.run_for(SPACING)
    pair.simulator.run_for(0.5)


def data_bytes(pair: MultiPair) -> dict[PathId, int]:
    return {path_id: path.sent_bytes for path_id, path in pair.client.paths.items()}


def test_weighted_uses_both_paths_and_no_packet_overtakes_one_of_its_flow() -> None:
    with two_links("weighted") as pair:
        before = data_bytes(pair)
        send(pair, range(8), 100)
        for flow in range(8):
            assert numbers(pair, flow) == list(range(100))
        carried = {path_id: sent - before[path_id] for path_id, sent in data_bytes(pair).items()}
        assert min(carried.values()) > 90_000
        assert carried[FAST] > carried[SLOW]


@pytest.mark.parametrize("strategy", ["weighted", "minrtt", "backup", "redundant"])
def test_nothing_is_lost_when_the_path_in_use_dies_silently(strategy: str) -> None:
    with two_links(strategy) as pair:
        send(pair, range(3), 20)
        pair.link(0).is_up = False
        send(pair, range(3), 100)
        assert pair.client.events_of(PathSuspected)
        for flow in range(3):
            got = numbers(pair, flow)
            assert set(got[20:]) == set(range(100))


def test_backup_uses_one_path() -> None:
    with two_links("backup") as pair:
        before = data_bytes(pair)
        send(pair, range(8), 50)
        carried = {path_id: sent - before[path_id] for path_id, sent in data_bytes(pair).items()}
        assert carried[FAST] > 400_000
        assert carried[SLOW] < 10_000


def test_what_is_urgent_does_not_notice_the_death_of_a_path() -> None:
    with two_links("redundant") as pair:
        sender, receiver = SequencedIp(), SequencedIp()
        pair.client.connection.allow_duplicates(b"", sender.duplication)
        got: list[int] = []
        seen = len(pair.server.received_datagrams)
        for number in range(100):
            if number == 50:
                pair.link(0).is_up = False
            urgent = payload(9, number, size=80)
            pair.client.send_datagrams([urgent], pair.simulator.now)
            pair.simulator.run_for(0.04)
            for data in pair.server.received_datagrams[seen:]:
                _, offset = decode_context_id(data)
                packet = receiver.decode_payload(data, offset) if data[0] == 2 else data
                if packet is not None:
                    got.append(int.from_bytes(packet[1:3], "big"))
            seen = len(pair.server.received_datagrams)
            # Each comes in the time the slower path takes, no matter what the other one does.
            assert got == list(range(number + 1))
        assert pair.client.events_of(PathSuspected)
