"""``server init`` and ``server check``: a new server, and what may be wrong with one."""

import datetime as dt
import json
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv6Network
from pathlib import Path
from typing import TypeVar

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.cli.parsing import Parser
from mqvpn_core.cli.users import DEFAULT_CONFIG, users
from mqvpn_core.config.parsing import host, integer, pool_ipv4, pool_ipv6, server_address, user
from mqvpn_core.errors import ConfigError

_T = TypeVar("_T")
_NO_OTHERS: dict[str, str] = {}
_MAX_PORT = 65535
_ANY_KEY = "sixteen-or-more-characters"
_OFF = "off"


def init(arguments: Sequence[str]) -> int:
    """``mqvpn-core server init``."""
    from mqvpn_core.app import server_init  # noqa: PLC0415 - loads the cryptography package

    namespace = _init_parser().parse(arguments, _NO_OTHERS)
    if not namespace.yes and not sys.stdin.isatty():
        raise ConfigError("nobody can answer questions here: add --yes, and what it should be")
    if (namespace.cert is None) is not (namespace.key is None):
        raise ConfigError("--cert and --key belong together")
    asker = _Asker(is_silent=namespace.yes)
    way = server_init.find_way_out()
    public = way.address if way is not None and way.is_public else None
    name = asker.ask("Name or address where clients find it", namespace.name, public, host)
    port = asker.ask("UDP port", namespace.port, "443", integer(1, _MAX_PORT))
    subnet = asker.ask(
        "IPv4 network for clients",
        namespace.subnet,
        str(namespace.subnet or server_init.free_subnet()),
        pool_ipv4,
    )
    subnet6 = asker.ask(
        "IPv6 network for clients, or off",
        namespace.subnet6,
        str(server_init.new_subnet6()),
        _pool_ipv6_or_off,
    )
    first = asker.ask("First user", namespace.user, "me", _user_name)
    pair = None
    if namespace.cert is not None:
        pair = Path(namespace.cert).absolute(), Path(namespace.key).absolute()
    server = server_init.NewServer(
        host=name,
        port=port,
        subnet=subnet,
        subnet6=subnet6,
        directory=Path(namespace.directory),
        certificate=pair,
        overwrite=namespace.force,
    )
    written = server_init.write_server(server, dt.datetime.now(dt.UTC))
    for path in written:
        sys.stderr.write(f"wrote {path}\n")
    if way is not None:
        sys.stderr.write(f"packets of clients leave by {way.interface} with its address (NAT)\n")
    options = ["--no-qr"] if namespace.no_qr else []
    where = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    code = users(
        [
            *("add", first, "--config", str(written[0]), "--server", where),
            *("--replace", "--no-reload", *options),
        ]
    )
    sys.stderr.write(
        _next_step(written[0], is_installed=server.directory == server_init.DEFAULT_DIRECTORY)
    )
    return code


def check(arguments: Sequence[str]) -> int:
    """``mqvpn-core server check``."""
    from mqvpn_core.app import server_check  # noqa: PLC0415 - loads the cryptography package

    parser = Parser("server check", "[OPTIONS]")
    parser.add_argument(
        "--config",
        default=str(DEFAULT_CONFIG),
        metavar="FILE",
        help=f"of the server (default: {DEFAULT_CONFIG})",
    )
    parser.add_argument(
        "--reach",
        metavar="HOST[:PORT]",
        help="look from here whether a server answers there, and at nothing else; takes no key",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    namespace = parser.parse(arguments, _NO_OTHERS)
    if namespace.reach is not None:
        findings = server_check.examine_from_outside(server_address(namespace.reach))
    else:
        findings = server_check.examine(
            Path(namespace.config), server_check.Machine(), dt.datetime.now(dt.UTC)
        )
    if namespace.json:
        report = [
            {"subject": each.subject, "verdict": each.verdict.value, "text": each.text}
            for each in findings
        ]
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        for each in findings:
            sys.stdout.write(f"{each.verdict.value:<8} {each.subject:<12} {each.text}\n")
    has_failed = any(each.verdict is server_check.Verdict.WRONG for each in findings)
    return ExitCode.FAILURE if has_failed else ExitCode.OK


class _Asker:
    """Asks on a terminal for what the command line does not say."""

    def __init__(self, *, is_silent: bool) -> None:
        self._is_silent = is_silent

    def ask(
        self, question: str, given: str | None, default: str | None, read: Callable[[str], _T]
    ) -> _T:
        """Return what was given, or answered, or the default."""
        if given is not None:
            return read(given)
        if self._is_silent:
            if default is None:
                raise ConfigError(
                    "this machine has no public address: say where clients find it, --name HOST"
                )
            return read(default)
        while True:
            sys.stderr.write(f"{question}{'' if default is None else f' [{default}]'}: ")
            sys.stderr.flush()
            line = sys.stdin.readline()
            if not line:
                raise ConfigError("no answer")
            try:
                return read(line.strip() or default or "")
            except ConfigError as error:
                sys.stderr.write(f"{error}\n")


def _init_parser() -> Parser:
    parser = Parser("server init", "[OPTIONS]")
    parser.add_argument("--yes", "-y", action="store_true", help="ask nothing")
    parser.add_argument("--name", metavar="HOST", help="where clients find it")
    parser.add_argument("--port", metavar="N", help="UDP port (default: 443)")
    parser.add_argument("--subnet", metavar="NET", help="IPv4 network (default: a free one)")
    parser.add_argument("--subnet6", metavar="NET", help="IPv6 network, or off (default: random)")
    parser.add_argument("--user", metavar="NAME", help="the first user (default: me)")
    parser.add_argument("--cert", metavar="FILE", help="certificate, such as ACME's (else made)")
    parser.add_argument("--key", metavar="FILE", help="its private key")
    parser.add_argument(
        "--directory", default=str(DEFAULT_CONFIG.parent), metavar="DIR", help="where to write"
    )
    parser.add_argument("--force", action="store_true", help="replace a server that is there")
    parser.add_argument("--no-qr", action="store_true", help="print the link alone")
    return parser


def _next_step(config: Path, *, is_installed: bool) -> str:
    if is_installed:
        return "start it: systemctl enable --now mqvpn-server\n"
    return f"start it: mqvpn-core server --config {config}\n"


def _pool_ipv6_or_off(text: str) -> IPv6Network | None:
    return None if text == _OFF else pool_ipv6(text)


def _user_name(text: str) -> str:
    user(f"{text}:{_ANY_KEY}")
    return text
