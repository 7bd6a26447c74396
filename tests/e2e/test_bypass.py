"""Packets that go past Python: all of them arrive, all are counted, and none once it may not.

Where packets are counted there is one link: over two the scheduler sends some packets twice, and
looks at each of them during the trial of a link. There is no IPv6, because a server looks at each
packet during the proof of such a tunnel as well (RFC 9484 section 7.2): two seconds, if the first
question gets no answer, and a packet that one side counts and the other does not.
"""

import hashlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mqvpn_core.app.control_client import fetch_events, set_link
from mqvpn_core.dataplane import kernel
from mqvpn_core.demo.programs import Credentials, Program, executable
from mqvpn_core.demo.topology import WEB_IPV4
from mqvpn_core.demo.web_host import payload
from mqvpn_core.runtime.control_codec import EventsRequest, SetLinkRequest
from mqvpn_core.runtime.event_values import EventKind, decode_event
from tests.e2e.conftest import open_lab, serve_web
from tests.e2e.topology import (
    UP_PATIENCE,
    Lab,
    current_status,
    eventually,
    inner_ipv4,
    udp_socket,
    wait_connected,
)

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.skipif(
        kernel.make_bypass is None, reason="there is no bypass without the native kernel"
    ),
]

ONE_LINK = ("--path", "wlan0")
TRANSFER_BYTES = 50_000_000
MOST = 0.8
"""Share of the packets of a transfer; it begins with some that prove its flows."""
STOP_WITHIN = 3.0
"""Seconds for a program that ends in order, however busy."""
_UNDER_WAY = 0.1
"""Seconds that a packet may be in queues of the kernel, on its way to a socket."""
_SILENCE = 0.3
_CHANGING = 1.2
_BURST = 20
_PAUSE = 0.002
_WINDOW = 32
_ROUNDS_AT_LEAST = 50
_BUSY_PACKETS = 2000
_BUFFER_BYTES = 8 << 20
_SO_RCVBUFFORCE = 33


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Packets of one side."""

    sent: int
    """To the peer."""
    received: int
    """From it."""
    bypassed: int
    """Of both, past Python."""

    def since(self, before: "Counts") -> "Counts":
        """What has been added."""
        return Counts(
            sent=self.sent - before.sent,
            received=self.received - before.received,
            bypassed=self.bypassed - before.bypassed,
        )

    @property
    def share(self) -> float:
        """How much of all went past Python."""
        return self.bypassed / (self.sent + self.received)


def counts(program: Program) -> Counts:
    """Read the counters of one side."""
    counters = current_status(program).counters
    return Counts(
        sent=counters["sent_packets"],
        received=counters["received_packets"],
        bypassed=counters["bypassed_packets"],
    )


def settled_counts(lab: Lab) -> tuple[Counts, Counts]:
    """Counters of client and server when nothing is under way any more."""
    server, client = lab.programs[0], lab.programs[-1]
    seen = [(counts(client), counts(server))]

    def rests() -> bool:
        time.sleep(_UNDER_WAY)
        seen.append((counts(client), counts(server)))
        return seen[-1] == seen[-2]

    eventually(rests, UP_PATIENCE, "end of the traffic")
    return seen[-1]


def lost_packets(program: Program) -> int:
    """QUIC packets of one side that the network, or a full socket at its end, has lost."""
    status = current_status(program)
    paths = [*status.paths, *(path for each in status.clients for path in each.paths)]
    return sum(path.lost_packets for path in paths)


def download(lab: Lab) -> str:
    """Fetch bytes from the far host; return their hash."""
    target = lab.directory / "download"
    _transfer(lab, "--output", str(target), f"http://{WEB_IPV4}/bytes/{TRANSFER_BYTES}")
    return hashlib.sha256(target.read_bytes()).hexdigest()


def upload(lab: Lab) -> str:
    """Send bytes to the far host; return the hash of what it got."""
    source = lab.directory / "upload"
    source.write_bytes(payload(TRANSFER_BYTES))
    return _transfer(lab, "--upload-file", str(source), f"http://{WEB_IPV4}/upload").strip()


def wanted_hash() -> str:
    """What a transfer has to come to."""
    return hashlib.sha256(payload(TRANSFER_BYTES)).hexdigest()


def _transfer(lab: Lab, *arguments: str) -> str:
    command = ["curl", "--silent", "--show-error", "--fail", *arguments]
    finished = lab.run(lab.world.client, command, 60)
    assert finished.code == 0, finished.output
    return finished.output


def wait_until_busy(lab: Lab) -> None:
    """Wait until packets go past Python on both sides."""
    sides = (lab.programs[0], lab.programs[-1])
    before = [counts(side).bypassed for side in sides]

    def is_busy() -> bool:
        return all(
            counts(side).bypassed > then + _BUSY_PACKETS
            for side, then in zip(sides, before, strict=True)
        )

    eventually(is_busy, UP_PATIENCE, "traffic past Python")


@contextmanager
def flood(lab: Lab) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Send small packets both ways for the length of a block, whatever becomes of them.

    Yields:
        The sockets of client and far host; whoever holds them reads.
    """
    is_over = threading.Event()
    with (
        closing(udp_socket(lab.world.client, inner_ipv4(lab.programs[-1]))) as near,
        closing(udp_socket(lab.world.web, WEB_IPV4)) as far,
    ):
        near.connect(far.getsockname())
        near.send(b"whoever answers has to know the way")
        far.connect(far.recvfrom(100)[1])
        for each in (near, far):
            each.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            each.setblocking(False)

        def send() -> None:
            while not is_over.wait(_PAUSE):
                for each in (near, far):
                    # There may be no way any more: that is what is tested.
                    with suppress(OSError):
                        for _ in range(_BURST):
                            each.send(bytes(64))

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        try:
            yield near, far
        finally:
            is_over.set()
            thread.join()


def drain(receiver: socket.socket) -> int:
    """Read what has come; return how many packets that were."""
    count = 0
    with suppress(BlockingIOError, ConnectionRefusedError):
        while receiver.recv(100):
            count += 1
    return count


def came_in_silence(*receivers: socket.socket) -> list[int]:
    """Count what arrives from now on, but for what is already behind the tunnel."""
    time.sleep(_UNDER_WAY)
    for each in receivers:
        drain(each)
    time.sleep(_SILENCE)
    return [drain(each) for each in receivers]


@pytest.fixture(scope="module")
def calm(credentials: Credentials) -> Iterator[Lab]:
    """A tunnel over one link; what a test does to it, it undoes."""
    with open_lab(credentials) as laboratory:
        laboratory.start_server(has_ipv6=False)
        laboratory.connect(*ONE_LINK)
        serve_web(laboratory)
        yield laboratory


@pytest.mark.parametrize("transfer", [download, upload])
def test_most_of_a_transfer_goes_past_python_and_is_counted(
    calm: Lab, transfer: Callable[[Lab], str]
) -> None:
    """Packets that one side has sent are those that the other has received, but for lost ones."""
    server_program, client_program = calm.programs
    before = settled_counts(calm)
    lost_before = lost_packets(client_program), lost_packets(server_program)
    assert transfer(calm) == wanted_hash()
    after = settled_counts(calm)
    client, server = (now.since(then) for now, then in zip(after, before, strict=True))
    lost_up = lost_packets(client_program) - lost_before[0]
    lost_down = lost_packets(server_program) - lost_before[1]
    assert client.share >= MOST
    assert server.share >= MOST
    assert 0 <= client.sent - server.received <= lost_up
    assert 0 <= server.sent - client.received <= lost_down


def test_a_link_with_a_rate_limit_has_no_bypass(calm: Lab) -> None:
    """It is back when the limit is lifted."""
    client = calm.programs[1]
    with flood(calm) as (near, far):
        wait_until_busy(calm)
        set_link(client.control_socket, SetLinkRequest(link="wlan0", rate_limit="20 Mbit/s"))
        time.sleep(_UNDER_WAY)
        before = counts(client)
        assert all(came_in_silence(near, far)), "the tunnel still carries packets"
        assert counts(client).bypassed == before.bypassed
        set_link(client.control_socket, SetLinkRequest(link="wlan0", rate_limit="none"))
        wait_until_busy(calm)


def test_keys_change_under_traffic_and_nothing_is_lost(lab: Lab) -> None:
    """Windows of datagrams, each of which is answered; no queue is ever full of them."""
    hasty = [sys.executable, str(Path(__file__).with_name("hasty_client.py"))]
    lab.start_server(has_ipv6=False)
    client = lab.start_client(*ONE_LINK, launcher=hasty)
    wait_connected(client)
    rounds = 0
    with (
        closing(udp_socket(lab.world.client, inner_ipv4(client))) as near,
        closing(udp_socket(lab.world.web, WEB_IPV4)) as far,
    ):
        until = time.perf_counter() + _CHANGING
        while time.perf_counter() < until or rounds < _ROUNDS_AT_LEAST:
            sent = {rounds.to_bytes(4) + bytes([number]) * 1000 for number in range(_WINDOW)}
            for packet in sent:
                near.sendto(packet, far.getsockname())
            for _ in sent:
                far.sendto(*far.recvfrom(2048))
            assert {near.recv(2048) for _ in sent} == sent
            rounds += 1
    of_client, of_server = settled_counts(lab)
    assert _key_updates(client) >= 3
    assert (of_client.sent, of_server.sent) == (of_server.received, of_client.received)
    assert of_client.sent >= rounds * _WINDOW
    assert min(of_client.share, of_server.share) >= MOST
    assert lost_packets(client) == lost_packets(lab.programs[0]) == 0


def _key_updates(program: Program) -> int:
    replies = fetch_events(program.control_socket, EventsRequest(with_debug=True))
    events = [decode_event(event) for reply in replies for event in reply.events]
    return sum(event.kind is EventKind.KEY_UPDATED for event in events)


def test_nothing_passes_once_a_user_is_gone(lab: Lab) -> None:
    settings = lab.directory / "server.toml"
    settings.write_text('[users]\nalice = "a-key-of-alice-0123456789"\n', encoding="utf-8")
    server = lab.start_server("--config", str(settings), has_ipv6=False)
    key = lab.directory / "alice.key"
    key.touch(mode=0o600)
    key.write_text("a-key-of-alice-0123456789", encoding="ascii")
    client = lab.start_client(*ONE_LINK, credentials=replace(lab.credentials, auth_key=key))
    wait_connected(client)
    with flood(lab) as (near, far):
        wait_until_busy(lab)
        assert drain(near)
        assert drain(far)
        settings.write_text('[users]\nbob = "a-key-of-bob-0123456789"\n', encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for(lambda status: not status.client_count, UP_PATIENCE, "end of the tunnel")
        gone = counts(server)
        assert came_in_silence(near, far) == [0, 0]
        assert counts(server) == gone


def test_nothing_takes_a_link_once_it_may_not_be_used(lab: Lab) -> None:
    """The traffic goes on over the other one."""
    lab.start_server(has_ipv6=False)
    client = lab.connect()
    client.wait_for(
        lambda status: sum(path.state == "active" for path in status.paths) == 2,
        UP_PATIENCE,
        "path over each link",
    )
    with flood(lab) as (near, far):
        wait_until_busy(lab)
        busiest = max(current_status(client).paths, key=lambda path: path.tx_bytes).interface
        set_link(client.control_socket, SetLinkRequest(link=busiest, role="never"))
        time.sleep(_UNDER_WAY)
        before = lab.world.client.counters(busiest)
        assert all(came_in_silence(near, far)), "the other link carries them"
        after = lab.world.client.counters(busiest)
    # A path is given up in a few packets; the traffic would be hundreds of thousands of bytes.
    assert after.sent_bytes - before.sent_bytes < 20_000
    assert after.received_bytes - before.received_bytes < 20_000


def test_programs_that_are_killed_while_they_are_busy_leave_nothing(lab: Lab) -> None:
    """The device ends with its last descriptor; the rest is taken back as after any other end."""
    sides = (lab.world.client, lab.world.server)
    before = [(side.links(), side.host_state()) for side in sides]
    server = lab.start_server(has_ipv6=False)
    client = lab.connect(*ONE_LINK)
    with flood(lab):
        for program, side, state in zip((client, server), sides, before, strict=True):
            if program is client:
                wait_until_busy(lab)
            assert program.stop(signal.SIGKILL) == -signal.SIGKILL
            assert side.links() == state[0]
            recovered = lab.run(side, [executable(), "recover"])
            assert recovered.code == 0, recovered.output
            assert (side.links(), side.host_state()) == state


def test_a_stop_takes_no_longer_for_busy_programs(lab: Lab) -> None:
    sides = (lab.world.client, lab.world.server)
    before = [(side.links(), side.host_state()) for side in sides]
    server = lab.start_server(has_ipv6=False)
    client = lab.connect(*ONE_LINK)
    with flood(lab):
        wait_until_busy(lab)
        for program in (client, server):
            started = time.perf_counter()
            assert program.stop(signal.SIGTERM) == 0
            assert time.perf_counter() - started < STOP_WITHIN
    assert [(side.links(), side.host_state()) for side in sides] == before


def test_a_side_without_a_bypass_sees_every_packet(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the other side need not know."""
    monkeypatch.setenv("MQVPN_BYPASS", "off")
    lab.start_server(has_ipv6=False)
    monkeypatch.delenv("MQVPN_BYPASS")
    lab.connect(*ONE_LINK)
    serve_web(lab)
    assert download(lab) == wanted_hash()
    client, server = settled_counts(lab)
    assert client.share >= MOST
    assert server.sent > TRANSFER_BYTES // 1500
    assert server.bypassed == 0
