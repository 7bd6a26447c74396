"""The end of a connection: CONNECTION_CLOSE, its repetitions, the last event (RFC 9000 s10.2)."""

from mqvpn_core.ids import Instant
from mqvpn_core.quic.aioquic_bridge.engine import EngineConnection
from mqvpn_core.quic.aioquic_bridge.engine_events import translate_end
from mqvpn_core.quic.events import Event
from mqvpn_core.quic.packetizer import Packetizer
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.udp_datagrams import Transmit


class Closing:
    """Sends CONNECTION_CLOSE in 1-RTT and repeats it, ever more rarely, while packets arrive."""

    def __init__(self, engine: EngineConnection, packetizer: Packetizer) -> None:
        self._engine = engine
        self._packetizer = packetizer
        self._told = False
        self._packet: list[Transmit] = []
        self._packets_received = 0
        self._next_repeat = 1

    def build(self, path: Path, now: Instant) -> list[Transmit]:
        """Make the 1-RTT packet with the close frame and keep it for repetition."""
        self._packet = self._packetizer.close_packet(path, now)
        return self._packet

    def on_packets_received(self, count: int) -> None:
        """Count what still arrives after the close."""
        self._packets_received += count

    def repetition(self) -> list[Transmit]:
        """The close packet again when enough has arrived since the last time.

        RFC 9000 s10.2.1: an endpoint "SHOULD limit the rate at which it generates packets in the
        closing state": after 1, 2, 4, 8... packets.
        """
        if self._engine.is_draining or self._packets_received < self._next_repeat:
            return []
        self._next_repeat *= 2
        return self._packet

    def event(self) -> Event | None:
        """The last event of the connection, once, as soon as its end is certain."""
        if self._told or not self._engine.is_ending:
            return None
        cause = self._engine.close_cause
        if cause is None:
            return None
        self._told = True
        return translate_end(cause, by_peer=self._engine.is_draining)
