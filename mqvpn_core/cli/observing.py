"""Commands that look at a running program (``status``, ``events``) or change it (the others)."""

import argparse
import datetime as dt
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mqvpn_core.app.control_client import (
    allow_portal,
    fetch_events,
    fetch_status,
    find_socket,
    set_link,
    set_scheduler,
)
from mqvpn_core.app.event_lines import event_line, missed_line, read_events
from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.app.live_screen import LiveScreen, is_live
from mqvpn_core.app.scheduler_choice import scheduler_named
from mqvpn_core.app.status import read_status, render_status, status_lines
from mqvpn_core.cli.parsing import Parser
from mqvpn_core.config import Scheduler
from mqvpn_core.config.build import default_control_socket
from mqvpn_core.config.parsing import integer, link_name, seconds
from mqvpn_core.errors import ConfigError
from mqvpn_core.runtime.control_codec import (
    EventsReply,
    EventsRequest,
    JsonValue,
    PortalRequest,
    SetLinkRequest,
    SetSchedulerRequest,
)
from mqvpn_core.runtime.link_control import check_request
from mqvpn_core.runtime.status_values import decode_status_values
from mqvpn_helper.interface.bus_names import MAX_PORTAL_SECONDS

_NO_OTHERS: dict[str, str] = {}
_LONGEST_PORTAL = MAX_PORTAL_SECONDS // 60
_MAX_NUMBER = (1 << 63) - 1


def status(arguments: Sequence[str]) -> int:
    """``mqvpn-core status``."""
    parser = _parser("status")
    parser.add_argument("--json", action="store_true", help="print JSON, one line a status")
    parser.add_argument(
        "--watch",
        nargs="?",
        const="1",
        metavar="SECONDS",
        help="again and again, every second or as given, until Ctrl-C: a live table on a terminal,"
        " elsewhere a line for each path",
    )
    namespace = parser.parse(arguments, _NO_OTHERS)
    try:
        interval = None if namespace.watch is None else seconds(0.1, 3600)(namespace.watch)
        path = _socket(namespace)
    except ConfigError as error:
        parser.error(str(error))
    if interval is None:
        _print_status(fetch_status(path), as_json=namespace.json)
        return ExitCode.OK
    try:
        if not namespace.json and is_live(sys.stdout):
            _watch_live(path, interval)
        for value in _again_and_again(path, interval):
            if namespace.json:
                _print_status(value, as_json=True)
            else:
                sys.stdout.write("".join(f"{line}\n" for line in status_lines(read_status(value))))
                sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    return ExitCode.OK


def events(arguments: Sequence[str]) -> int:
    """``mqvpn-core events``."""
    parser = _parser("events")
    parser.add_argument("--json", action="store_true", help="print JSON, one line an event")
    parser.add_argument(
        "--follow", "-f", action="store_true", help="go on with new ones, until Ctrl-C"
    )
    parser.add_argument(
        "--since",
        default="0",
        metavar="NUMBER",
        help="only those after this number, as --json shows it (default: all that are kept)",
    )
    parser.add_argument(
        "--debug", action="store_true", help="also key updates and changes of packet size"
    )
    namespace = parser.parse(arguments, _NO_OTHERS)
    try:
        after = integer(0, _MAX_NUMBER)(namespace.since)
        path = _socket(namespace)
    except ConfigError as error:
        parser.error(str(error))
    request = EventsRequest(after=after, follow=namespace.follow, with_debug=namespace.debug)
    try:
        for reply in fetch_events(path, request):
            _print_events(reply, as_json=namespace.json)
    except KeyboardInterrupt:
        pass
    return ExitCode.OK


def path(arguments: Sequence[str]) -> int:
    """``mqvpn-core path set``."""
    parser = _parser("path", "set IFACE [OPTIONS]")
    parser.add_argument("action", metavar="set", help="the only action there is")
    parser.add_argument("interface", metavar="IFACE", help="name or pattern of interfaces")
    parser.add_argument(
        "--role", metavar="ROLE", help="primary, secondary, backup, never, or default"
    )
    parser.add_argument("--cap", metavar="AMOUNT", help="what it may carry in a month, or none")
    parser.add_argument("--rate-limit", metavar="RATE", help="how fast it may be, or none")
    namespace = parser.parse(arguments, _NO_OTHERS)
    if namespace.action != "set":
        parser.error("expected: path set IFACE")
    request = SetLinkRequest(
        link=namespace.interface,
        role=namespace.role,
        cap=namespace.cap,
        rate_limit=namespace.rate_limit,
    )
    try:
        check_request(request)
        socket = _socket(namespace)
    except ConfigError as error:
        parser.error(str(error))
    set_link(socket, request)
    return ExitCode.OK


def scheduler(arguments: Sequence[str]) -> int:
    """``mqvpn-core scheduler``."""
    parser = _parser("scheduler", "[NAME] [OPTIONS]")
    known = ", ".join(each.value for each in Scheduler)
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help=f"{known}; without a name the one in use is printed. It counts for packets that this"
        " side sends, until the program ends; the setting of that name makes it last",
    )
    namespace = parser.parse(arguments, _NO_OTHERS)
    try:
        request = _scheduler_request(namespace.name)
        socket = _socket(namespace)
    except ConfigError as error:
        parser.error(str(error))
    if request is None:
        sys.stdout.write(f"{decode_status_values(fetch_status(socket)).scheduler}\n")
    else:
        set_scheduler(socket, request)
    return ExitCode.OK


def _scheduler_request(name: str | None) -> SetSchedulerRequest | None:
    return None if name is None else SetSchedulerRequest(name=scheduler_named(name).value)


def portal(arguments: Sequence[str]) -> int:
    """``mqvpn-core portal``."""
    parser = _parser("portal", "IFACE [OPTIONS]")
    parser.add_argument("interface", metavar="IFACE", help="the link whose network wants a login")
    parser.add_argument(
        "--minutes",
        default="5",
        metavar="N",
        help=f"how long, 1 to {_LONGEST_PORTAL} (default: 5)",
    )
    parser.add_argument("--end", action="store_true", help="end it now")
    namespace = parser.parse(arguments, _NO_OTHERS)
    try:
        minutes = 0 if namespace.end else integer(1, _LONGEST_PORTAL)(namespace.minutes)
        request = PortalRequest(link=link_name(namespace.interface), seconds=minutes * 60)
        socket = _socket(namespace)
    except ConfigError as error:
        parser.error(str(error))
    allow_portal(socket, request)
    if minutes:
        end = dt.datetime.now().astimezone() + dt.timedelta(minutes=minutes)
        sys.stdout.write(
            f"{request.link} is past the kill switch until {end:%H:%M:%S}; log in to its network,"
            f" then: mqvpn-core portal {request.link} --end\n"
        )
    return ExitCode.OK


def _parser(command: str, usage: str = "[OPTIONS]") -> Parser:
    parser = Parser(command, usage)
    parser.add_argument("--tun-name", metavar="NAME", help="of the tunnel on this TUN device")
    parser.add_argument("--control-socket", metavar="FILE", help="of the tunnel with this socket")
    return parser


def _socket(namespace: argparse.Namespace) -> Path:
    if namespace.control_socket is not None:
        return Path(namespace.control_socket)
    if namespace.tun_name is not None:
        return default_control_socket(link_name(namespace.tun_name))
    return find_socket()


def _again_and_again(path: Path, interval: float) -> Iterator[JsonValue]:
    while True:
        yield fetch_status(path)
        time.sleep(interval)


def _watch_live(path: Path, interval: float) -> None:
    with LiveScreen(sys.stdout, shutil.get_terminal_size) as screen:
        for value in _again_and_again(path, interval):
            screen.show(render_status(read_status(value), screen.width))


def _print_status(value: JsonValue, *, as_json: bool) -> None:
    lines = [json.dumps(value)] if as_json else render_status(read_status(value))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _print_events(reply: EventsReply, *, as_json: bool) -> None:
    lines: list[str] = []
    if reply.missed:
        lines.append(json.dumps({"missed": reply.missed}) if as_json else missed_line(reply.missed))
    if as_json:
        lines += [json.dumps(event) for event in reply.events]
    else:
        lines += [event_line(event) for event in read_events(reply)]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
