"""The text of a TOML, JSON or INI configuration to raw settings; opens no file.

TOML is ours. INI and JSON are read as the C program of the same name writes them; JSON takes our
keys as well. Whatever the text holds, the only exception is a ConfigError of one line.
"""

import enum
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NoReturn, TypeAlias, cast

from mqvpn_core.config.build import RawSetting
from mqvpn_core.config.parsing import quote
from mqvpn_core.config.setting import Form, Role, Setting
from mqvpn_core.config.table import BY_NAME, TABLE
from mqvpn_core.errors import ConfigError

_Tree: TypeAlias = "bool | int | float | str | list[_Tree] | dict[str, _Tree] | None"

_MAX_PROBLEM = 160

MODE_KEY = "mode"
"""Key that says which role a file is for."""

_JSON_NAMES: Mapping[str, Setting[object]] = {
    **BY_NAME,
    **{setting.json: setting for setting in TABLE if setting.json},
}
_INI_SECTIONS: dict[str, dict[str, Setting[object]]] = {}
_INI_TITLES: dict[str, str] = {}
for _setting in TABLE:
    if _setting.ini:
        _title, _key = _setting.ini.split(".")
        _INI_TITLES[_title.lower()] = _title
        _INI_SECTIONS.setdefault(_title.lower(), {})[_key.lower()] = _setting
_INI_HEADER = re.compile(r"[ \t]*\[([^\]]*)\][ \t]*(?:[#;].*)?")
_INI_COMMENT = re.compile(r"(?:^|[ \t])[#;].*$")


class Format(enum.Enum):
    """How a configuration file is written."""

    TOML = "TOML"
    """Our own."""
    JSON = "JSON"
    """An object."""
    INI = "INI"
    """Sections, as in the C program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedText:
    """What a configuration text says."""

    role: Role | None
    """The role it names or implies; ``None``: it does not tell."""
    settings: tuple[RawSetting, ...]
    """Its keys, each once."""
    is_lenient: bool
    """Keys of the other role are skipped with a warning, as the C program does."""


def detect_format(text: str, name: str) -> Format:
    """Tell the format from a file's name and content."""
    if name.endswith(".toml"):
        return Format.TOML
    if name.endswith(".json") or text.lstrip().startswith("{"):
        return Format.JSON
    for line in text.splitlines():
        header = _INI_HEADER.fullmatch(line)
        if header is not None and header[1].strip().lower() in _INI_SECTIONS:
            return Format.INI
    return Format.INI if name.endswith(".ini") else Format.TOML


def parse_text(text: str, name: str, form: Format) -> ParsedText:
    """Read a configuration.

    Args:
        text: the content.
        name: what messages call the file.
        form: its format.

    Raises:
        ConfigError: it is not well-formed, or has a key or a type that does not exist.
    """
    match form:
        case Format.TOML:
            return _parse_toml(text, name)
        case Format.JSON:
            return _parse_json(text, name)
        case Format.INI:
            return _parse_ini(text, name)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that ``name`` was most likely meant to be."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = get_close_matches(name.lower()[:64], by_lower, n=1, cutoff=0.65)
    return by_lower[found[0]] if found else None


def texts_of(form: Form, value: object) -> tuple[str, ...]:
    """Return the texts of a TOML or JSON value.

    Raises:
        ConfigError: the value has a type that ``form`` does not take.
    """
    match value, form:
        case (str(), Form.LIST | Form.TABLE):
            return split_list(value)
        case (str(), Form.TEXT | Form.NUMBER | Form.BOOLEAN | Form.SWITCH):
            return (value.strip(),)
        case (bool(), Form.BOOLEAN | Form.SWITCH):
            return ("true" if value else "false",)
        case (bool(), _):
            pass
        case (int() | float(), Form.NUMBER):
            return (_number_text(value),)
        case (list(), Form.LIST):
            return tuple(_list_item(item) for item in cast("list[_Tree]", value))
        case ((list() | dict()), Form.TABLE | Form.USERS):
            return _table_texts(form, cast("list[_Tree] | dict[str, _Tree]", value))
        case _:
            pass
    raise ConfigError(f"expected {form.value}, found {_type_name(value)}")


def split_list(text: str) -> tuple[str, ...]:
    """Return the items of a list written with commas."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _number_text(value: float) -> str:
    try:
        return str(value)
    except ValueError:  # more digits than Python converts
        return "a number with thousands of digits"


def _list_item(item: _Tree) -> str:
    if not isinstance(item, str):
        raise ConfigError(f"expected a list of texts, found {_type_name(item)} in it")
    return item.strip()


def _table_texts(form: Form, value: "list[_Tree] | dict[str, _Tree]") -> tuple[str, ...]:
    if form is Form.USERS:
        return _user_texts(value)
    if isinstance(value, list):
        return tuple(_list_item(item) for item in value)
    for item in value.values():
        if not isinstance(item, str):
            raise ConfigError(f"expected a table of texts, found {_type_name(item)} in it")
    return tuple(f"{name}={item}" for name, item in value.items())


def _user_texts(value: "list[_Tree] | dict[str, _Tree]") -> tuple[str, ...]:
    pairs = value.items() if isinstance(value, dict) else [(None, item) for item in value]
    return tuple(_user_text(name, item) for name, item in pairs)


def _user_text(name: str | None, item: _Tree) -> str:
    if isinstance(item, str):
        return item if name is None else f"{name}:{item}"
    if name is None and isinstance(item, dict) and set(item) == {"name", "key"}:
        user, key = item["name"], item["key"]
        if isinstance(user, str) and isinstance(key, str):
            return f"{user}:{key}"
    raise ConfigError('a user is NAME = "KEY", or in JSON also {"name": ..., "key": ...}')


def _type_name(value: object) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")


# A file that loads is a file whose every key is known: a misspelt key must not be skipped.
def _refuse_key(where: str, key: str, names: Mapping[str, Setting[object]]) -> NoReturn:
    near = nearest(key, [*names, MODE_KEY])
    if near is None:
        hint = "docs/configuration.md lists the keys"
    else:
        hint = f"did you mean {names[near].name if near in names else near}?"
    raise ConfigError(f"{where}: unknown key {quote(key)}; {hint}")


def _parse_toml(text: str, name: str) -> ParsedText:
    try:
        tree = cast("dict[str, _Tree]", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        problem = str(error)
        if len(problem) > _MAX_PROBLEM:  # it may quote a key of any length
            problem = f"{problem[: _MAX_PROBLEM // 2]} ... {problem[-_MAX_PROBLEM // 2 :]}"
        raise ConfigError(f"{name}: not valid TOML: {problem}") from None
    except (RecursionError, ValueError):
        raise ConfigError(
            f"{name}: not usable TOML: nested too deep, or a number too long"
        ) from None

    def line_of(key: str) -> str:
        escaped = re.escape(key)
        found = re.search(
            rf"""^[ \t]*(?:\[[ \t]*)?(["']?){escaped}\1[ \t]*[=\].]""", text, re.MULTILINE
        )
        return name if found is None else f"{name}:{text.count(chr(10), 0, found.start(1)) + 1}"

    return _from_tree(tree, BY_NAME, line_of, is_lenient=False)


def _parse_json(text: str, name: str) -> ParsedText:
    def unique(pairs: list[tuple[str, _Tree]]) -> dict[str, _Tree]:
        members: dict[str, _Tree] = {}
        for key, value in pairs:
            if key in members:
                raise ConfigError(f"{line_of(key)}: the key {quote(key)} stands there twice")
            members[key] = value
        return members

    def line_of(key: str) -> str:
        found = re.search(re.escape(json.dumps(key)) + r"\s*:", text)
        return name if found is None else f"{name}:{text.count(chr(10), 0, found.start()) + 1}"

    try:
        tree = cast(
            "_Tree", json.loads(text, object_pairs_hook=unique, parse_constant=_no_constant)
        )
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name}:{error.lineno}: not valid JSON: {error.msg}") from None
    except (RecursionError, ValueError):
        raise ConfigError(f"{name}: not usable JSON: nested too deep, or an odd number") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: expected a JSON object, found {_type_name(tree)}")
    present = {key: value for key, value in tree.items() if value is not None}
    return _from_tree(present, _JSON_NAMES, line_of, is_lenient=True)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _from_tree(
    tree: Mapping[str, _Tree],
    names: Mapping[str, Setting[object]],
    line_of: Callable[[str], str],
    *,
    is_lenient: bool,
) -> ParsedText:
    role: Role | None = None
    settings: dict[str, RawSetting] = {}
    for key, value in tree.items():
        if key == MODE_KEY:
            role = _role(value, line_of(key))
            continue
        if key not in names:
            _refuse_key(line_of(key), key, names)
        setting = names[key]
        if setting.name in settings:
            raise ConfigError(f"{line_of(key)}: {key} and {setting.name} are the same key")
        try:
            texts = texts_of(setting.form, value)
        except ConfigError as error:
            raise ConfigError(f"{line_of(key)}: {key}: {error}") from None
        settings[setting.name] = RawSetting(setting=setting, texts=texts, origin=line_of(key))
    found = tuple(settings.values())
    return ParsedText(role=role or _implied_role(found), settings=found, is_lenient=is_lenient)


def _role(value: object, where: str) -> Role:
    for role in Role:
        if value == role.value:
            return role
    raise ConfigError(f"{where}: {MODE_KEY} must be client or server")


def _implied_role(settings: Sequence[RawSetting]) -> Role | None:
    roles = {next(iter(raw.setting.roles)) for raw in settings if len(raw.setting.roles) == 1}
    return roles.pop() if len(roles) == 1 else None


@dataclass(slots=True, kw_only=True)
class _IniEntry:
    """One key of an INI file while it is being collected."""

    setting: Setting[object]
    """Which key."""
    line: int
    """Line of its first value."""
    texts: list[str] = field(default_factory=list)
    """Values so far."""


def _parse_ini(text: str, name: str) -> ParsedText:
    entries: dict[str, _IniEntry] = {}
    section: str | None = None
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{name}:{number}"
        content = _INI_COMMENT.sub("", line).strip()
        header = _INI_HEADER.fullmatch(line.rstrip("\r"))
        if header is not None:
            section = _ini_section(header[1].strip(), where)
        elif content:
            setting, value = _ini_pair(content, section, where)
            entry = entries.setdefault(setting.name, _IniEntry(setting=setting, line=number))
            if setting.form in {Form.LIST, Form.TABLE}:
                entry.texts += split_list(value)
            elif setting.form is Form.USERS or not entry.texts:
                entry.texts.append(value)
            else:
                raise ConfigError(f"{where}: this key already stands in line {entry.line}")
    found = tuple(
        RawSetting(setting=entry.setting, texts=tuple(entry.texts), origin=f"{name}:{entry.line}")
        for entry in entries.values()
    )
    return ParsedText(role=_ini_role(found), settings=found, is_lenient=True)


def _ini_section(title: str, where: str) -> str:
    if title.lower() in _INI_SECTIONS:
        return title.lower()
    near = nearest(title, _INI_TITLES.values())
    hint = f"did you mean [{near}]?" if near else "known are: " + ", ".join(_INI_TITLES.values())
    raise ConfigError(f"{where}: unknown section {quote(title)}; {hint}")


def _ini_pair(content: str, section: str | None, where: str) -> tuple[Setting[object], str]:
    key, equals, value = content.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"{where}: expected KEY = VALUE or [SECTION]")
    if section is None:
        raise ConfigError(f"{where}: the key {quote(key)} stands before any [SECTION]")
    known = _INI_SECTIONS[section]
    if key.lower() in known:
        return known[key.lower()], value.strip()
    homes = [_INI_TITLES[other] for other, keys in _INI_SECTIONS.items() if key.lower() in keys]
    near = nearest(key, [setting.ini.partition(".")[2] for setting in known.values()])
    if homes:
        hint = f"it belongs into [{homes[0]}]"
    elif near is not None:
        hint = f"did you mean {near}?"
    else:
        hint = "docs/configuration.md lists the keys"
    raise ConfigError(f"{where}: unknown key {quote(key)} in [{_INI_TITLES[section]}]; {hint}")


def _ini_role(settings: Sequence[RawSetting]) -> Role | None:
    # Files of the C program name no role: an address to connect to makes a client.
    names = {raw.setting.name for raw in settings}
    if "server" in names:
        return None if "cert_file" in names else Role.CLIENT
    return Role.SERVER if names & {"listen", "cert_file", "key_file", "users"} else None
