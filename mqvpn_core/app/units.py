"""Numbers as people read them."""

_KIB = 1024
_KILO = 1000
_BITS = 8
_MINUTE = 60
_HOUR = 3600
_TENFOLD = 10
_HUNDREDFOLD = 100


def size_text(count: float) -> str:
    """Return a number of bytes."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < _KIB:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KIB
    return f"{count:.1f} TiB"


def rate_text(bytes_per_second: float) -> str:
    """Return a rate in bits per second, as links are sold."""
    rate = bytes_per_second * _BITS
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if rate < _KILO:
            return f"{rate:.0f} {unit}" if unit == "bit/s" else f"{_three_digits(rate)} {unit}"
        rate /= _KILO
    return f"{_three_digits(rate)} Gbit/s"


def age_text(seconds: float) -> str:
    """Return how long something has lasted."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"


def _three_digits(number: float) -> str:
    if number < _TENFOLD:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < _HUNDREDFOLD else f"{number:.0f}"
