"""The host behind the server of `benchmarks.clients`: sends to all clients, or hears all of them.

``python -m benchmarks.far_host FOLDER ADDRESS MBIT``: sends that much to each address in the files
``ready-*.json`` there, from the file ``go`` to the file ``pause``; at ``stop`` it writes
``far.json`` with the packets sent to, and received from, each address.
"""

import json
import socket
import sys
import time
from pathlib import Path

from benchmarks.light_clients import PAYLOAD_BYTES, PORT, TICK

_SLICES = 10
_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 64 << 20
_POLL = 0.02


def main(folder: Path, address: str, mbit: float) -> None:
    """Do it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
        near.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        near.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        near.bind((address, PORT))
        _write(folder / "far-ready.json", {})
        _wait_for(folder / "go")
        sent = _send(near, folder, mbit) if mbit else {}
        received = _hear(near, folder)
    _write(folder / "far.json", {"sent": sent, "received": received})


def _send(near: socket.socket, folder: Path, mbit: float) -> dict[str, int]:
    """Give every client a burst in each tick; clients take turns within a tick."""
    addresses = [
        address
        for file in sorted(folder.glob("ready-*.json"))
        for address in json.loads(file.read_text(encoding="utf-8"))
    ]
    sent = dict.fromkeys(addresses, 0)
    rate = mbit * 1e6 / 8 / PAYLOAD_BYTES
    control = [(_SOL_UDP, _UDP_SEGMENT, PAYLOAD_BYTES.to_bytes(2, sys.byteorder))]
    began = time.perf_counter()
    step = 0
    while not (folder / "pause").exists():
        due = int((time.perf_counter() - began) * rate)
        for address in addresses[step % _SLICES :: _SLICES]:
            # At most what one datagram with segmentation can hold.
            count = min(due - sent[address], 65_000 // PAYLOAD_BYTES)
            if count > 0:
                near.sendmsg([bytes(count * PAYLOAD_BYTES)], control, 0, (address, PORT))
                sent[address] += count
        step += 1
        time.sleep(max(0.0, began + step * TICK / _SLICES - time.perf_counter()))
    return sent


def _hear(near: socket.socket, folder: Path) -> dict[str, int]:
    """Count packets by where they come from, until it is enough."""
    received: dict[str, int] = {}
    near.settimeout(_POLL)
    while not (folder / "stop").exists():
        try:
            data, _control, _flags, (host, _port) = near.recvmsg(65536)
        except TimeoutError:
            continue
        received[host] = received.get(host, 0) + len(data) // PAYLOAD_BYTES
    return received


def _wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(_POLL)


def _write(file: Path, value: object) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(value), encoding="utf-8")
    fresh.replace(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
