"""Packets of TCP and UDP as hosts make them, and frames of a TUN device that hold many at once."""

from dataclasses import dataclass, replace
from struct import pack

from hypothesis import strategies as st

ACK, PSH, FIN, CWR, ECE = 0x10, 0x08, 0x01, 0x80, 0x40
TCP, UDP = 6, 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What one packet is made of."""

    version: int = 4
    protocol: int = TCP
    flow: int = 1
    sequence: int = 1000
    acknowledgment: int = 1
    flags: int = ACK
    window: int = 512
    options: bytes = b"\1\1\x08\x0a12345678"
    payload: bytes = b"x" * 100
    identification: int = 7
    fragment: int = 0x4000
    hops: int = 64
    service: int = 0

    def packet(self, *, is_checksum_left: bool = False) -> bytes:
        """Return the packet; its transport checksum may be left to the device."""
        transport = self._transport()
        size = len(transport) + len(self.payload)
        addresses = self._addresses()
        pseudo = addresses + pack("!HH", self.protocol, size)
        at = 16 if self.protocol == TCP else 6
        if is_checksum_left:
            value = total(pseudo)
        else:
            value = ~total(pseudo + transport + self.payload) & 0xFFFF
            value = value or (0xFFFF if self.protocol == UDP else 0)
        transport = transport[:at] + pack("!H", value) + transport[at + 2 :]
        return self._ip(size, addresses) + transport + self.payload

    def frame(self, segment: int) -> bytes:
        """Return the frame of a packet that the device has to split."""
        kind = 5 if self.protocol == UDP else 1 if self.version == 4 else 4
        start = 20 if self.version == 4 else 40
        offset = 16 if self.protocol == TCP else 6
        header = pack("=BBHHHH", 1, kind, 0, segment, start, offset)
        return header + self.packet(is_checksum_left=True)

    def _transport(self) -> bytes:
        ports = pack("!HH", 4000 + self.flow, 80)
        if self.protocol == UDP:
            return ports + pack("!HH", (8 + len(self.payload)) & 0xFFFF, 0)
        words = (20 + len(self.options)) // 4
        return (
            ports
            + pack("!II", self.sequence & 0xFFFFFFFF, self.acknowledgment)
            + pack("!BBHHH", words << 4, self.flags, self.window, 0, 0)
            + self.options
        )

    def _addresses(self) -> bytes:
        size = 4 if self.version == 4 else 16
        return bytes([10] * (size - 1) + [self.flow]) + bytes([10] * (size - 1) + [200])

    def _ip(self, size: int, addresses: bytes) -> bytes:
        if self.version == 6:
            first = 6 << 28 | self.service << 20 | self.flow
            return pack("!IHBB", first, size, self.protocol, self.hops) + addresses
        header = pack(
            "!BBHHHBBH",
            0x45,
            self.service,
            20 + size,
            self.identification & 0xFFFF,
            self.fragment,
            self.hops,
            self.protocol,
            0,
        )
        checksum = ~total(header + addresses) & 0xFFFF
        return header[:10] + pack("!H", checksum) + addresses


def total(data: bytes) -> int:
    """Sum words the slow way."""
    data += bytes(len(data) % 2)
    value = sum(data[at] << 8 | data[at + 1] for at in range(0, len(data), 2))
    while value > 0xFFFF:
        value = (value & 0xFFFF) + (value >> 16)
    return value


drafts = st.builds(
    Draft,
    version=st.sampled_from([4, 6]),
    protocol=st.sampled_from([TCP, UDP]),
    flow=st.integers(1, 3),
    sequence=st.one_of(st.integers(0, 0xFFFFFFFF), st.just(0xFFFFFFF0)),
    flags=st.sampled_from([ACK, ACK | PSH, ACK | FIN, ACK | CWR, ACK | ECE, PSH | ACK | FIN, 2]),
    options=st.sampled_from([b"", b"\1\1\x08\x0a12345678"]),
    identification=st.sampled_from([0, 7, 0xFFFE]),
    fragment=st.sampled_from([0x4000, 0x4000, 0, 0x2000, 0x0004]),
    hops=st.sampled_from([64, 1, 0]),
    service=st.sampled_from([0, 3]),
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame as the host hands it over, or as it never should."""
    payload = draw(st.binary(min_size=1, max_size=9)) * draw(st.integers(1, 200))
    draft = replace(draw(drafts), payload=payload)
    frame = draft.frame(draw(st.sampled_from([1, 7, 100, 536, 1400])))
    match draw(st.sampled_from(["whole", "whole", "plain", "left", "flip", "cut"])):
        case "plain":
            return bytes(10) + draft.packet()
        case "left":
            return frame[:1] + b"\0" + frame[2:]
        case "flip":
            changed = bytearray(frame)
            changed[draw(st.integers(0, min(60, len(frame) - 1)))] ^= draw(st.integers(1, 255))
            return bytes(changed)
        case "cut":
            return frame[: draw(st.integers(0, 90))]
        case _:
            return frame


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """Packets of a few flows, mostly one behind the other, some of them odd."""
    states = {flow: replace(draw(drafts), flow=flow, flags=ACK, fragment=0x4000, hops=64)
              for flow in (1, 2, 3)}  # fmt: skip
    packets = []
    for _ in range(draw(st.integers(0, 24))):
        flow = draw(st.sampled_from([1, 1, 1, 2, 3]))
        size = draw(st.sampled_from([100, 100, 100, 100, 60, 140, 0]))
        draft = replace(states[flow], payload=bytes([flow]) * size)
        match draw(st.sampled_from(["next"] * 12 + ["odd", "gap", "damaged", "alien"])):
            case "odd":
                odd = draw(drafts)
                packets.append(replace(draft, flags=odd.flags, fragment=odd.fragment).packet())
            case "gap":
                packets.append(replace(draft, sequence=draft.sequence + 5).packet())
            case "damaged":
                packet = bytearray(draft.packet())
                packet[draw(st.integers(0, len(packet) - 1))] ^= 1 << draw(st.integers(0, 7))
                packets.append(bytes(packet))
            case "alien":
                packets.append(draw(st.binary(max_size=70)))
            case _:
                packets.append(draft.packet())
        states[flow] = replace(
            draft, sequence=draft.sequence + size, identification=draft.identification + 1
        )
    return packets


@st.composite
def bursts(draw: st.DrawFn) -> list[bytes]:
    """Frames of flows that send much, now and then with something between them."""
    made = []
    for _ in range(draw(st.integers(0, 10))):
        draft = Draft(
            version=draw(st.sampled_from([4, 4, 4, 6])),
            protocol=draw(st.sampled_from([TCP, TCP, UDP])),
            flow=draw(st.integers(1, 2)),
            hops=draw(st.sampled_from([64] * 8 + [0])),
            payload=bytes(draw(st.sampled_from([300, 300, 300, 100, 230, 101]))),
        )
        if draw(st.sampled_from([True] * 8 + [False])):
            made.append(draft.frame(draw(st.sampled_from([100] * 8 + [50]))))
        else:
            made.append(bytes(10) + draft.packet())
    return made
