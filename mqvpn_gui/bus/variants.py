"""Values of D-Bus without their types: a variant becomes what is in it, at every depth."""

from collections.abc import Iterator


def without_types(signature: str, values: tuple[object, ...]) -> tuple[object, ...]:
    """Take the variants out of the body of a message.

    Args:
        signature: of the body.
        values: as jeepney returns them: a variant is a pair of signature and value.
    """
    kinds = complete_types(signature)
    return tuple(_plain(kind, value) for kind, value in zip(kinds, values, strict=False))


def complete_types(signature: str) -> Iterator[str]:
    """Split a signature into its complete types."""
    start = 0
    while start < len(signature):
        end = _end_of_type(signature, start)
        yield signature[start:end]
        start = end


def _plain(kind: str, value: object) -> object:
    match kind[:1], value:
        case "v", (str(inner_kind), inner):
            return _plain(inner_kind, inner)
        case "a", dict():
            key_kind, value_kind = complete_types(kind[2:-1])
            return {_plain(key_kind, key): _plain(value_kind, each) for key, each in value.items()}
        case "a", list():
            return [_plain(kind[1:], each) for each in value]
        case "(", tuple():
            return without_types(kind[1:-1], value)
        case _:
            return value


def _end_of_type(signature: str, start: int) -> int:
    position = start
    while signature[position : position + 1] == "a":
        position += 1
    depth = 0
    while position < len(signature):
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(signature[position], 0)
        position += 1
        if depth == 0:
            return position
    return len(signature)
