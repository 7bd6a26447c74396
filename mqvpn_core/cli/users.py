"""``user``: invite users to a server, list them, take them away."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mqvpn_core.app.config_files import Sources, load_config
from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.app.keys import hash_of, new_key
from mqvpn_core.app.reload import reload_server
from mqvpn_core.app.users_file import changing_users_file
from mqvpn_core.cli.parsing import Parser
from mqvpn_core.cli.setting_options import GivenSettings, add_setting_options
from mqvpn_core.config import HostPort, ServerConfig
from mqvpn_core.config.common_keys import CONTROL_SOCKET, TEMPLATE, TUN_NAME
from mqvpn_core.config.parsing import server_address, user
from mqvpn_core.config.server_keys import CERT_FILE, KEY_FILE, LISTEN, USERS_FILE
from mqvpn_core.config.setting import Role
from mqvpn_core.errors import ConfigError, HostError

DEFAULT_CONFIG = Path("/etc/mqvpn/server.toml")
"""Configuration of the server on a machine where it was installed as a package."""

_OPTIONS = (USERS_FILE, CERT_FILE, LISTEN, TEMPLATE, TUN_NAME, CONTROL_SOCKET)
_UNKNOWN = "/nonexistent"
_ANY_KEY = "sixteen-or-more-characters"
_ACTIONS = ("add", "list", "rm")


def users(arguments: Sequence[str]) -> int:
    """``mqvpn-core user``."""
    given = GivenSettings()
    parser = Parser("user", "add|list|rm [NAME] [OPTIONS]")
    parser.add_argument("action", metavar="add|list|rm", help="what to do")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the user")
    parser.add_argument(
        "--config", metavar="FILE", help=f"of the server (default: {DEFAULT_CONFIG})"
    )
    parser.add_argument(
        "--server",
        metavar="HOST[:PORT]",
        help="where clients find it (default: from the certificate)",
    )
    parser.add_argument("--title", default="", metavar="TEXT", help="what to call it on the device")
    pins = parser.add_mutually_exclusive_group()
    pins.add_argument(
        "--pin", action="store_true", default=None, help="pin the certificate, also a signed one"
    )
    pins.add_argument(
        "--no-pin", action="store_true", help="do not pin it, also when it is self-signed"
    )
    parser.add_argument(
        "--replace", action="store_true", help="add: give a user who is there a new key"
    )
    parser.add_argument("--no-qr", action="store_true", help="add: print the link alone")
    parser.add_argument("--no-reload", action="store_true", help="do not tell a running server")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_setting_options(parser, _OPTIONS, given)
    namespace = parser.parse(arguments, {})
    if namespace.action not in _ACTIONS:
        parser.error(f"expected one of: {', '.join(_ACTIONS)}")
    if (namespace.name is None) is not (namespace.action == "list"):
        parser.error(
            f"user {namespace.action} takes " + ("no name" if namespace.name else "a name")
        )
    config = _server_config(namespace, given)
    match namespace.action:
        case "add":
            return _add(namespace, config)
        case "rm":
            return _remove(namespace, config)
        case _:
            return _list(namespace, config)


def _add(namespace: argparse.Namespace, config: ServerConfig) -> int:
    # Importing it loads the cryptography package.
    from mqvpn_core.app.invitations import (  # noqa: PLC0415 - see above
        InvitationWishes,
        make_invitation,
        qr_code,
    )
    from mqvpn_helper.interface.invite_link import encode_invite_link  # noqa: PLC0415 - with it

    name = _checked(namespace.name)
    if str(config.cert_file) == _UNKNOWN:
        raise ConfigError("give --cert FILE or --config FILE: the link says how to know the server")
    key = new_key()
    wishes = InvitationWishes(
        server=None if namespace.server is None else _server(namespace.server, config),
        title=namespace.title,
        has_pin=True if namespace.pin else False if namespace.no_pin else None,
    )
    invitation = make_invitation(config, name, key, wishes)
    link = encode_invite_link(invitation)
    file = _users_file(config)
    with changing_users_file(file) as known:
        if name not in known and name in config.users:
            raise ConfigError(f"{name} stands in the server's configuration; choose another name")
        if name in known and not namespace.replace:
            raise ConfigError(f"there is a user {name} already; --replace gives a new key")
        known[name] = hash_of(key)
    is_told = _tell(namespace, config)
    if namespace.json:
        report = {
            "user": name,
            "link": link,
            "server": invitation.server,
            "pins": list(invitation.pins),
            "users_file": str(file),
            "reloaded": is_told,
        }
        sys.stdout.write(json.dumps(report) + "\n")
        return ExitCode.OK
    sys.stderr.write(f"{name} is in {file}; the key is shown only now: whoever has it is {name}\n")
    if sys.stdout.isatty() and not namespace.no_qr:
        sys.stdout.write(qr_code(link) or "")
    sys.stdout.write(f"{link}\n")
    return ExitCode.OK


def _remove(namespace: argparse.Namespace, config: ServerConfig) -> int:
    name = namespace.name
    file = _users_file(config)
    with changing_users_file(file) as known:
        if name not in known:
            where = "in the server's configuration, not" if name in config.users else "not"
            raise ConfigError(f"{name} is {where} in {file}; user list shows who is")
        del known[name]
    is_told = _tell(namespace, config)
    if namespace.json:
        report = {"user": name, "users_file": str(file), "reloaded": is_told}
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        ending = "; tunnels of this user end now" if is_told else ""
        sys.stdout.write(f"{name} is removed from {file}{ending}\n")
    return ExitCode.OK


def _list(namespace: argparse.Namespace, config: ServerConfig) -> int:
    names = sorted(config.users)
    if namespace.json:
        sys.stdout.write(json.dumps(names) + "\n")
    else:
        sys.stdout.write("".join(f"{name}\n" for name in names))
    return ExitCode.OK


def _server_config(namespace: argparse.Namespace, given: GivenSettings) -> ServerConfig:
    """Return the server's configuration, as far as users are concerned."""
    file = None if namespace.config is None else Path(namespace.config)
    if file is None and USERS_FILE.name not in given.by_name and DEFAULT_CONFIG.exists():
        file = DEFAULT_CONFIG
    if file is None and USERS_FILE.name not in given.by_name:
        raise ConfigError("which server? Give --config FILE, or --users-file FILE and --cert FILE")
    if file is None:  # what a server needs, and nobody looks at here
        for setting in (CERT_FILE, KEY_FILE):
            if setting.name not in given.by_name:
                given.add(setting, _UNKNOWN, "default")
    sources = Sources(role=Role.SERVER, file=file, options=tuple(given.by_name.values()))
    config = load_config(sources).config
    assert isinstance(config, ServerConfig)  # the role says so
    return config


def _users_file(config: ServerConfig) -> Path:
    if config.users_file is None:
        raise ConfigError(
            'the server reads no file of users: write users_file = "users" into its configuration'
            " first, and reload it"
        )
    return config.users_file.expanduser()


def _checked(name: str) -> str:
    """Return a name that a user can have."""
    user(f"{name}:{_ANY_KEY}")
    return name


def _server(text: str, config: ServerConfig) -> HostPort:
    """Read ``HOST[:PORT]``; the port is the one that the server listens on."""
    given = server_address(text)
    has_port = text.rpartition("]")[2].count(":") == 1
    return given if has_port else replace(given, port=config.listen[0].port)


def _tell(namespace: argparse.Namespace, config: ServerConfig) -> bool:
    """Let a running server read its users again; tell whether it did."""
    if namespace.no_reload:
        return False
    try:
        reload_server(config.control_socket)
    except HostError as error:
        sys.stderr.write(
            f"note: no running server was told ({error}); it reads the file when it starts, or at"
            " SIGHUP\n"
        )
        return False
    return True
