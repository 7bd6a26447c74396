"""Configuration files of a client as profiles: TOML of mqvpn-core, INI and JSON of the C program.

mqvpn-core has a reader of its own that knows the role of a server as well and belongs to a program
that runs as root; the desktop must not load it. A test holds the two together: every key that one
knows the other knows, and both read the same examples alike.

A file may come from somebody else, so nothing it names is opened but certificates: a hostile file
could name another program's token as its key, and the server would get it.
"""

import enum
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn

from mqvpn_gui.user.errors import ProfileError
from mqvpn_gui.user.profile_text import StoredProfile, profile_from_members
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_helper.interface.profile import MEMBER_TYPES

MAX_FILE_BYTES = 256 * 1024
"""Largest file that is read."""

JSON_NAMES: Mapping[str, str] = MappingProxyType(
    {"server_addr": "server", "tls_server_name": "server_name", "cc": "congestion_control"}
)
"""Keys of the C program's JSON that are called differently here."""

INI_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "auth.key": "auth_key",
        "auth.maxclients": "max_clients",
        "auth.user": "users",
        "control.listen": "control_listen",
        "interface.dns": "dns",
        "interface.killswitch": "kill_switch",
        "interface.listen": "listen",
        "interface.loglevel": "log_level",
        "interface.manageroutes": "manage_routes",
        "interface.mtu": "mtu",
        "interface.reconnect": "reconnect",
        "interface.reconnectinterval": "reconnect_interval",
        "interface.subnet": "subnet",
        "interface.subnet6": "subnet6",
        "interface.tunname": "tun_name",
        "multipath.cc": "congestion_control",
        "multipath.path": "paths",
        "multipath.scheduler": "scheduler",
        "server.address": "server",
        "server.insecure": "insecure",
        "server.servername": "server_name",
        "tls.cert": "cert_file",
        "tls.key": "key_file",
    }
)
"""``section.key`` of the C program's INI, in lower case."""

OF_SERVERS = frozenset(
    {"listen", "cert_file", "key_file", "users", "users_file", "max_auth_failures", "retry"}
    | {"auth_challenge", "subnet", "subnet6", "lease_file", "advertise", "client_to_client"}
    | {"nat", "max_clients", "max_clients_per_user", "max_handshakes", "site", "workers"}
)
"""Keys that only a server has."""

WITHOUT_MEANING = frozenset(
    {"congestion_control", "control_listen", "control_socket", "qlog", "log_level", "usage_file"}
    | {"cap_warning", "key_update_interval", "reconnect_interval"}
)
"""Keys of a client that the helper decides by itself."""

_SPECIAL = frozenset({"auth_key", "auth_key_file", "ca_file", "manage_routes", "mode"})
_SECTIONS = frozenset(name.partition(".")[0] for name in INI_NAMES)
_SCHEDULERS = frozenset({"weighted", "minrtt", "redundant", "backup"})
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_INI_HEADER = re.compile(r"[ \t]*\[([^\]]*)\][ \t]*(?:[#;].*)?")
_INI_COMMENT = re.compile(r"(?:^|[ \t])[#;].*$")
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]*-----END CERTIFICATE-----", re.ASCII
)
_SHOWN = 40


class FileForm(enum.Enum):
    """How a file is written."""

    TOML = "TOML"
    """As mqvpn-core and this program write it."""
    JSON = "JSON"
    """An object."""
    INI = "INI"
    """Sections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedProfile:
    """What a file says."""

    stored: StoredProfile
    """The profile, without any secret."""
    secret: SecretText | None
    """The key that stood in it."""
    notes: tuple[str, ...]
    """What the user should know, one line each."""


def form_of(text: str, file_name: str) -> FileForm:
    """Tell how a file is written."""
    if file_name.endswith(".toml"):
        return FileForm.TOML
    if file_name.endswith(".json") or text.lstrip().startswith("{"):
        return FileForm.JSON
    headers = filter(None, map(_INI_HEADER.fullmatch, text.splitlines()))
    if any(header[1].strip().lower() in _SECTIONS for header in headers):
        return FileForm.INI
    return FileForm.INI if file_name.endswith(".ini") else FileForm.TOML


def read_client_file(
    text: str, file_name: str, read_certificates: Callable[[str], str]
) -> ImportedProfile:
    """Read a client's configuration.

    Args:
        text: the content of the file.
        file_name: its name, for the choice of the form.
        read_certificates: returns the content of a file that ``ca_file`` names.

    Raises:
        ProfileError: it is not the configuration of a client; no message quotes a secret.
    """
    form = form_of(text, file_name)
    return _Reader(_PARSERS[form](text), form, read_certificates).result()


class _Reader:
    """Turns keys of a file into the members of a profile."""

    def __init__(
        self, found: Mapping[str, object], form: FileForm, read_certificates: Callable[[str], str]
    ) -> None:
        self._found = dict(found)
        self._is_lenient = form is not FileForm.TOML
        self._read_certificates = read_certificates
        self._members: dict[str, object] = {}
        self._notes: list[str] = []

    def result(self) -> ImportedProfile:
        if self._found.pop("mode", "client") != "client":
            self._refuse_server()
        secret = self._secret()
        self._certificates()
        unrouted = "manage_routes" in self._found and not _truth(
            "manage_routes", self._found.pop("manage_routes")
        )
        for name, value in self._found.items():
            self._take(name, value)
        if unrouted:
            self._members["routes"] = "none"
        if "server" not in self._members:
            raise ProfileError("the file names no server", "it needs server = HOST:PORT")
        stored = profile_from_members(self._members)
        if stored.settings.insecure:
            self._notes.append(
                "INSECURE: the file says not to check the server's certificate; whoever sits"
                " between can read and change everything. Ask for a link with a pin instead"
            )
        return ImportedProfile(stored=stored, secret=secret, notes=tuple(self._notes))

    def _refuse_server(self) -> NoReturn:
        raise ProfileError(
            "this is the configuration of a server",
            "on the server, 'mqvpn-core user add NAME' makes a link for a client",
        )

    def _secret(self) -> SecretText | None:
        key, file = self._found.pop("auth_key", ""), self._found.pop("auth_key_file", "")
        if file:
            self._notes.append(
                "the key stands in a file of its own, which was not opened;"
                " 'mqvpn profile set-key NAME --key-stdin < FILE' adds it"
            )
        if not key:
            return None
        if not isinstance(key, str) or key.startswith("sha256:"):
            raise ProfileError("auth_key is not a key, but perhaps the hash that a server keeps")
        return SecretText(key.strip())

    def _certificates(self) -> None:
        name = self._found.pop("ca_file", "")
        if not name:
            return
        if not isinstance(name, str):
            raise ProfileError("ca_file is not the name of a file")
        blocks = _CERTIFICATE.findall(self._read_certificates(name))
        if not blocks:
            raise ProfileError("ca_file holds no certificate in PEM form")
        self._members["ca_certificates"] = "\n".join([*blocks, ""])

    def _take(self, name: str, value: object) -> None:
        if name in OF_SERVERS:
            if not self._is_lenient:
                self._refuse_server()
            self._notes.append(f"{name} is for servers; left out")
        elif name in WITHOUT_MEANING:
            self._notes.append(f"{name} is decided by the helper; left out")
        elif name == "user":
            self._members[name] = value
        elif name in MEMBER_TYPES:
            self._members[name] = self._value(name, value)
        else:
            raise ProfileError(f"unknown key {name[:_SHOWN]!r}", "see docs/configuration.md")

    def _value(self, name: str, value: object) -> object:
        if name == "kill_switch" and str(value).lower() in _TRUE | _FALSE:
            return "standard" if _truth(name, value) else "off"
        if name == "mtu" and value in ("auto", ""):
            return 0
        if name == "scheduler" and isinstance(value, str) and value.lower() not in _SCHEDULERS:
            self._notes.append("the scheduler in the file does not exist here; weighted is used")
            return "weighted"
        return _typed(name, value)


def _typed(name: str, value: object) -> object:
    """Give a text of INI, or a shorthand of TOML, the type that a member has."""
    kind = MEMBER_TYPES[name]
    if kind == "b":
        return _truth(name, value)
    if isinstance(value, str):
        return _typed_text(name, value, kind)
    if isinstance(value, list) and kind.startswith("a{"):
        pairs = [str(item).rpartition("=") for item in value]
        return {link.strip(): text.strip() for link, _, text in pairs}
    return value


def _typed_text(name: str, text: str, kind: str) -> object:
    match kind:
        case "as":
            return [item.strip() for item in text.split(",") if item.strip()]
        case "u":
            return _number(name, text, int)
        case "d":
            return _number(name, text, float)
        case _:
            return text.strip()


def _truth(name: str, value: object) -> bool:
    word = str(value).lower()
    if word not in _TRUE | _FALSE:
        raise ProfileError(f"{name} is neither true nor false")
    return word in _TRUE


def _number(name: str, text: str, kind: Callable[[str], int | float]) -> int | float:
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text.strip(), re.ASCII) is None:
        raise ProfileError(f"{name} is not a number")
    try:
        return kind(text.strip())
    except ValueError:
        raise ProfileError(f"{name} is not a whole number") from None


def _toml(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Its message may quote a key of the table, never a value; but it may be of any length.
        raise ProfileError(f"not valid TOML: {str(error)[:120]}") from None
    except (RecursionError, ValueError):
        raise ProfileError("not usable TOML: nested too deep, or a number too long") from None


def _json(text: str) -> dict[str, object]:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = {JSON_NAMES.get(name, name): value for name, value in pairs}
        if len(members) != len(pairs):
            raise ProfileError("a key stands in the JSON twice")
        return members

    try:
        tree: object = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ProfileError(f"not valid JSON in line {error.lineno}: {error.msg}") from None
    except (RecursionError, ValueError):
        raise ProfileError("not usable JSON: nested too deep, or an odd number") from None
    if not isinstance(tree, dict):
        raise ProfileError("expected a JSON object")
    return {str(name): value for name, value in tree.items() if value is not None}


def _ini(text: str) -> dict[str, object]:
    values: dict[str, object] = {}
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        header = _INI_HEADER.fullmatch(line.rstrip("\r"))
        content = _INI_COMMENT.sub("", line).strip()
        if header is not None:
            section = header[1].strip().lower()
        elif content:
            key, equals, value = content.partition("=")
            name = INI_NAMES.get(f"{section}.{key.strip().lower()}")
            if name is None or not equals:
                raise ProfileError(f"line {number} is not a known KEY = VALUE of its section")
            if MEMBER_TYPES.get(name) == "as" and name in values:
                value = f"{values[name]},{value}"
            elif name in values and name not in OF_SERVERS:
                raise ProfileError(f"line {number}: {key.strip()} stands there twice")
            values[name] = value.strip()
    return values


_PARSERS: Mapping[FileForm, Callable[[str], dict[str, object]]] = MappingProxyType(
    {FileForm.TOML: _toml, FileForm.JSON: _json, FileForm.INI: _ini}
)
