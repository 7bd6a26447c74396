"""Both kernels over as many generated packets as wanted, without what makes hypothesis slow.

Everything follows from the seed. A difference ends the run with the seed of its batch, which gives
that batch again.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mqvpn_core.dataplane.packets import CipherSuite, ReceiveContext, ShortHeader
from tests.differential.ip_traffic import ACK, CWR, ECE, FIN, PSH, TCP, UDP, Draft
from tests.differential.strategies import LARGEST_NUMBER, KeyParts
from tests.differential.test_frames import looks, packets_of
from tests.differential.test_protection import Stock, flat, plain
from tests.differential.twins import Twin

STOCK_SHARE = 8
"""aioquic's protection, the slowest by far, is asked about one batch of so many."""

_FLAGS = (ACK, ACK, ACK, ACK | PSH, ACK | FIN, ACK | CWR, ACK | ECE, 2)
_FRONTS = (b"\x30\0\0",) * 6 + (b"\x30\0\1", b"\x31\0\0", b"")


class DifferenceError(AssertionError):
    """The kernels differ."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """Who is compared."""

    native: Twin
    reference: Twin


def compare(kernels: Kernels, packets: int, seed: int) -> Iterator[int]:
    """Compare batch by batch; yield how many packets it were so far.

    Raises:
        DifferenceError: the message says which batch.
    """
    done = number = 0
    while done < packets:
        work = _WORKS[number % len(_WORKS)]
        batch_seed = f"{seed}/{number}"
        try:
            done += work(kernels, random.Random(batch_seed), number)
        except AssertionError as error:
            raise DifferenceError(f"{work.__name__}, batch {batch_seed}: {error}") from error
        number += 1
        yield done


def protection(kernels: Kernels, dice: random.Random, number: int) -> int:
    """Seal, damage, open."""
    ours, theirs = kernels.native, kernels.reference
    parts = _key_parts(dice)
    header = ShortHeader(dice.randbytes(dice.randrange(21)), dice.randrange(2), dice.randint(1, 4))
    path_id = dice.choice((0, 1, dice.getrandbits(32)))
    first = dice.choice((dice.randrange(300), dice.randrange(LARGEST_NUMBER - 64), (1 << 32) - 9))
    payloads = _payloads(dice)
    keys, other_keys = ours.make_keys(*parts), theirs.make_keys(*parts)
    runs = ours.seal_runs(keys, header, path_id, first, payloads)
    assert runs == theirs.seal_runs(other_keys, header, path_id, first, payloads)
    sealed = ours.seal_batch(keys, header, path_id, first, payloads)
    assert b"".join(run.data for run in runs) == b"".join(sealed)
    packets = [_damaged(dice, packet) for packet in sealed]
    phase = header.key_phase_bit ^ (dice.random() < 0.1)
    largest = min(max(-1, first + dice.randint(-300, 300)), LARGEST_NUMBER)
    context = ReceiveContext(path_id, largest, len(header.destination_cid), phase)
    opened = ours.open_batch(keys, context, packets)
    assert opened == theirs.open_batch(other_keys, context, packets)
    size = len(packets[0]) or 1
    joined = b"".join(packets)
    segments = plain(ours.open_segments(keys, context, joined, size))
    assert segments == plain(theirs.open_segments(other_keys, context, joined, size))
    split = [joined[start : start + size] for start in range(0, len(joined), size)]
    assert flat(segments) == ours.open_batch(keys, context, split)
    if number % (STOCK_SHARE * len(_WORKS)) == 0:
        stock = Stock(parts)
        assert sealed == [
            stock.seal(header, path_id, at, payload) for at, payload in enumerate(payloads, first)
        ]
        assert opened == [stock.open(context, packet) for packet in packets]
    return len(payloads)


def frames(kernels: Kernels, dice: random.Random, _number: int) -> int:
    """Split frames of a TUN device; join their packets."""
    batch = [_frame(dice) for _ in range(dice.randint(1, 6))]
    ours, theirs = kernels.native.split_frames(batch), kernels.reference.split_frames(batch)
    packets = packets_of(ours)
    assert packets == packets_of(theirs)
    assert looks(ours) == looks(theirs)
    dice.shuffle(packets)
    joins_udp = dice.random() < 0.5
    made = kernels.native.join_packets(packets, joins_udp)
    assert made == kernels.reference.join_packets(packets, joins_udp)
    again = kernels.native.split_frames(made)
    assert sorted(map(len, packets_of(again))) == sorted(map(len, packets))
    return len(packets)


_WORKS: tuple[Callable[[Kernels, random.Random, int], int], ...] = (protection, frames)


def _key_parts(dice: random.Random) -> KeyParts:
    suite = dice.choice(list(CipherSuite))
    length = 16 if suite is CipherSuite.AES_128_GCM_SHA256 else 32
    return suite, dice.randbytes(length), dice.randbytes(12), dice.randbytes(length)


def _payloads(dice: random.Random) -> list[bytes]:
    count = dice.randint(1, 48)
    size = dice.randrange(1500)
    sizes = [size] * count if dice.random() < 0.7 else [dice.randrange(1500) for _ in range(count)]
    filler = dice.randbytes(1500)
    return [dice.choice(_FRONTS) + filler[:each] for each in sizes]


def _damaged(dice: random.Random, packet: bytes) -> bytes:
    match dice.randrange(24):
        case 0:
            changed = bytearray(packet)
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
            return bytes(changed)
        case 1:
            return packet[: dice.randrange(len(packet) + 1)]
        case 2:
            return packet + dice.randbytes(dice.randint(1, 40))
        case 3:
            return dice.randbytes(dice.randrange(60))
        case _:
            return packet


def _frame(dice: random.Random) -> bytes:
    is_odd = dice.random() < 0.15
    draft = Draft(
        version=dice.choice((4, 6)),
        protocol=dice.choice((TCP, TCP, UDP)),
        flow=dice.randint(1, 3),
        sequence=dice.choice((1000, 0xFFFFFFF0, dice.getrandbits(32))),
        flags=dice.choice(_FLAGS),
        options=dice.choice((b"", b"\1\1\x08\x0a12345678")),
        identification=dice.choice((0, 7, 0xFFFE)),
        fragment=dice.choice((0, 0x2000, 0x0004)) if is_odd else 0x4000,
        hops=dice.choice((0, 1)) if is_odd else 64,
        service=dice.choice((0, 3)),
        payload=dice.randbytes(dice.randint(1, 9)) * dice.randint(1, 2000),
    )
    whole = draft.frame(dice.choice((100, 536, 1200, 1400)))
    match dice.randrange(16):
        case 0:
            changed = bytearray(whole)
            changed[dice.randrange(min(60, len(whole)))] ^= dice.randint(1, 255)
            return bytes(changed)
        case 1:
            return whole[: dice.randrange(90)]
        case _:
            return whole
