"""Seeded bytes: structured pieces and the classic mutations."""

from random import Random

EDGE_BYTES = (0x00, 0x01, 0x3F, 0x40, 0x7F, 0x80, 0xBF, 0xC0, 0xFF)
EDGE_INTEGERS = (0, 1, 2, 63, 64, 255, 2**14 - 1, 2**14, 2**16, 2**30 - 1, 2**30, 2**60, 2**62 - 1)
LONGEST = 4096


def varint(random: Random) -> bytes:
    """An integer of any size and any legal form, not only the minimal one."""
    if random.random() < 0.5:
        value = random.choice(EDGE_INTEGERS)
    else:
        value = random.getrandbits(random.choice((3, 6, 8, 14, 30, 62)))
    sizes = [size for size in (1, 2, 4, 8) if value < 1 << (8 * size - 2)]
    size = sizes[0] if random.random() < 0.8 else random.choice(sizes)
    return (value | (size.bit_length() - 1) << (8 * size - 2)).to_bytes(size, "big")


def small_varint(random: Random) -> bytes:
    """An integer that fits one byte."""
    return bytes((random.randrange(64),))


def blob(random: Random, longest: int = 64) -> bytes:
    """Bytes without structure."""
    return random.randbytes(random.randrange(longest))


def mutate(random: Random, data: bytes, other: bytes) -> bytes:
    """Change, cut, repeat or splice; ``other`` gives the second half of a splice."""
    result = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        position = random.randrange(len(result) + 1)
        action = random.randrange(8)
        if action == 0:
            result[position : position + 1] = bytes((random.choice(EDGE_BYTES),))
        elif action == 1 and position < len(result):
            result[position] ^= 1 << random.randrange(8)
        elif action == 2:
            del result[position : position + random.randrange(1, 9)]
        elif action == 3:
            result[position:position] = random.randbytes(random.randrange(1, 9))
        elif action == 4:
            chunk = result[position : position + random.randrange(1, 33)]
            result[position:position] = chunk * random.randrange(1, 4)
        elif action == 5:
            del result[position:]
        elif action == 6:
            result[position:] = other[random.randrange(len(other) + 1) :]
        else:
            result[position : position + 1] = varint(random)
    return bytes(result[:LONGEST])
