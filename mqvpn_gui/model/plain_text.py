"""Text of others, made harmless to show.

Names of interfaces and servers, and reasons, come from outside. They are shortened and put on one
line, without characters that reorder or hide what stands beside them.
"""

import unicodedata

MAX_SHOWN = 200
"""Characters of a foreign text that are shown."""

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})


def plain(value: object, limit: int = MAX_SHOWN) -> str:
    """Return a text as one short line; anything that is no text becomes an empty one.

    Args:
        value: what came from outside.
        limit: most characters of the result.
    """
    if not isinstance(value, str):
        return ""
    # A name may be 10 kB long: nothing behind what could be shown is looked at.
    head = value[: 4 * limit]
    shown = "".join(" " if unicodedata.category(each) in _UNSEEN else each for each in head)
    shown = " ".join(shown.split())
    if len(shown) > limit or len(value) > len(head):
        return shown[: limit - 1].rstrip() + _ELLIPSIS
    return shown
