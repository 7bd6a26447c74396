"""Writes the little TOML that a profile needs; the standard library only reads it."""

import json
import re
from collections.abc import Mapping

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def write_toml(values: Mapping[str, object]) -> str:
    """Return a TOML document.

    Args:
        values: true or false, numbers, texts, lists of texts, and tables of texts or numbers.
    """
    plain = {name: value for name, value in values.items() if not isinstance(value, Mapping)}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in plain.items()]
    for name, table in values.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{_key(name)}]"]
            lines += [f"{_key(str(each))} = {_value(value)}" for each, value in table.items()]
    return "\n".join([*lines, ""])


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return _text(value)
        case list() | tuple():
            return "[" + ", ".join(_value(each) for each in value) + "]"
        case _:
            raise TypeError(f"a profile holds no {type(value).__name__}")


def _text(text: str) -> str:
    # The escapes of JSON are escapes of TOML, but for DEL, which TOML wants escaped as well.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
