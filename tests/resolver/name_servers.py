"""A name server inside the tunnel: it answers on the TUN device itself, and notes who was asked."""

import os
import select
import socket
import struct
import threading
import time

ANSWER = "203.0.113.5"
_UDP = 17
_HEADER_BYTES = 10  # virtio_net_hdr, in front of every packet
_NAME_SERVICE = 53


class TunNameServer:
    """Answers every question for an IPv4 address that comes out of a TUN device."""

    def __init__(self, tun_fd: int) -> None:
        self.seen: set[tuple[str, int]] = set()
        self._fd = tun_fd
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more, and let go of the device."""
        self._is_over.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._is_over.is_set():
            if not select.select([self._fd], [], [], 0.05)[0]:
                continue
            try:
                reply = self._reply(os.read(self._fd, 2000)[_HEADER_BYTES:])
                if reply:
                    os.write(self._fd, bytes(_HEADER_BYTES) + reply)
            except OSError:
                time.sleep(0.01)  # the device is not up

    def _reply(self, packet: bytes) -> bytes:
        if packet[0] >> 4 != 4 or packet[9] != _UDP:
            return b""
        header_length = (packet[0] & 15) * 4
        source_port, port = struct.unpack_from(">HH", packet, header_length)
        self.seen.add((socket.inet_ntoa(packet[16:20]), port))
        if port != _NAME_SERVICE:
            return b""
        reply = answer(packet[header_length + 8 :])
        udp = struct.pack(">4H", port, source_port, 8 + len(reply), 0) + reply
        return _ipv4(packet[16:20], packet[12:16], udp)


def answer(question: bytes, address: str = ANSWER) -> bytes:
    """Return the answer to a DNS question: `ANSWER`, or nothing of another type."""
    end = 12 + question[12:].index(b"\0") + 5
    is_ipv4 = question[end - 4 : end - 2] == b"\0\1"
    reply = question[:2] + struct.pack(">5H", 0x8180, 1, int(is_ipv4), 0, 0) + question[12:end]
    if is_ipv4:
        reply += struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address)
    return reply


def _ipv4(source: bytes, destination: bytes, payload: bytes) -> bytes:
    start = struct.pack(">BBHHHBB", 0x45, 0, 20 + len(payload), 0, 0, 64, _UDP)
    words = struct.unpack(">9H", start + source + destination)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return start + struct.pack(">H", checksum) + source + destination + payload
