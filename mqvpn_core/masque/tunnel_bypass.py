"""What of a tunnel may pass without a look at each packet, and who counts it."""

from mqvpn_core.dataplane import kernel
from mqvpn_core.masque.forwarding import Forwarder


class TunnelBypass:
    """One open tunnel, for whoever forwards packets of flows that have passed before.

    A: ``prefix``, ``mtu``, ``flows_in``, ``flows_out``. B: ``note_received``, ``note_sent``.

    The rules stay with `masque.forwarding`, which empties both sets when one of them changes.
    """

    __slots__ = ("_forwarder", "flows_in", "flows_out", "prefix")

    def __init__(self, prefix: bytes, forwarder: Forwarder) -> None:
        """Open a way round the rules of a tunnel.

        Args:
            prefix: in front of each IP packet in a DATAGRAM frame.
            forwarder: the rules.
        """
        self._forwarder = forwarder
        self.prefix = prefix
        """Quarter stream ID and context ID."""
        self.flows_in: kernel.FlowSet = forwarder.flows_in
        """Flows from the peer that have passed."""
        self.flows_out: kernel.FlowSet = forwarder.flows_out
        """Flows to the peer that have passed."""

    @property
    def mtu(self) -> int:
        """Bytes of the largest IP packet that goes to the peer."""
        return self._forwarder.mtu

    def note_received(self, packet_count: int, packet_bytes: int) -> None:
        """Packets of the peer went to the device."""
        counters = self._forwarder.counters
        counters.received_packet_count += packet_count
        counters.received_bytes += packet_bytes

    def note_sent(self, packet_count: int, packet_bytes: int) -> None:
        """Packets of the device went to the peer."""
        counters = self._forwarder.counters
        counters.sent_packet_count += packet_count
        counters.sent_bytes += packet_bytes
