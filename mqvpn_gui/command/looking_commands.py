"""``mqvpn status``, ``paths``, ``events`` and ``diagnose``: nothing is changed."""

import argparse
import json
import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

from jeepney.fds import FileDescriptor

from mqvpn_gui.command.context import Context, Helper
from mqvpn_gui.command.exit_codes import ExitCode
from mqvpn_gui.command.findings import own_findings
from mqvpn_gui.command.following import follow_state
from mqvpn_gui.command.live_screen import can_redraw, live_screen
from mqvpn_gui.command.parsing import UsageError
from mqvpn_gui.command.status_text import path_lines, paths_value, status_lines, status_value
from mqvpn_gui.command.words import event_text, moment_text
from mqvpn_gui.model.event_store import EventRecord, record_from
from mqvpn_gui.model.helper_state import OFFLINE, HelperState, merged
from mqvpn_gui.user.errors import HelperError
from mqvpn_gui.user.private_files import write_private_file
from mqvpn_helper.interface.bus_interface import (
    COLLECT_DIAGNOSTICS,
    EVENT,
    GET_EVENTS,
    STATS,
    SUBSCRIBE,
)
from mqvpn_helper.interface.bus_names import MAX_EVENTS

_FIRST_NUMBERS_MS = 100
_FIRST_NUMBERS_WAIT = 0.8
_MILLISECONDS = 1000
_MAX_INTERVAL = 60.0
_MIN_INTERVAL = 0.1
_PATIENCE = 3.0
_MAX_REPORT_BYTES = 1 << 20
_REPORT_WAIT = 30.0

_Page = Callable[[HelperState], list[str]]
_Value = Callable[[HelperState], object]


def status(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn status``."""

    def page(state: HelperState) -> list[str]:
        return status_lines(state, os.getuid(), context.wall(), context.width)

    return _look(namespace, context, page, status_value)


def paths(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn paths``."""

    def page(state: HelperState) -> list[str]:
        if not state.paths:
            return ["no tunnel is up, or it has no path"]
        return path_lines(state.paths, context.width)

    return _look(namespace, context, page, lambda state: paths_value(state.paths))


def _look(namespace: argparse.Namespace, context: Context, page: _Page, value: _Value) -> int:
    interval = None if namespace.watch is None else _interval(namespace.watch)
    with context.open_helper() as helper:
        state = merged(OFFLINE, helper.properties())
        if interval is None:
            state = _with_fresh_numbers(helper, state)
            if namespace.json:
                context.show_json(value(state))
            else:
                context.show(*page(state))
            return ExitCode.OK
        helper.call(SUBSCRIBE, int(interval * _MILLISECONDS))
        try:
            if namespace.json or not can_redraw(context.out):
                for now in _each_interval(context, helper, state, interval):
                    if namespace.json:
                        context.show_json(value(now))
                    else:
                        context.show(*page(now), "")
            else:
                with live_screen(context.out) as screen:
                    for now in _each_interval(context, helper, state, interval):
                        screen.show(page(now))
        except KeyboardInterrupt:
            pass
    return ExitCode.OK


def _with_fresh_numbers(helper: Helper, state: HelperState) -> HelperState:
    """Wait a moment for numbers of the paths that are of now."""
    if not state.carries_traffic or not state.paths:
        return state
    helper.call(SUBSCRIBE, _FIRST_NUMBERS_MS)
    changes = follow_state(helper, state, _FIRST_NUMBERS_WAIT)
    next(changes)  # what is known already
    for change in changes:
        state = change.state
        if change.signal is None or change.signal.name == STATS.name:
            break
    return state


def _each_interval(
    context: Context, helper: Helper, state: HelperState, interval: float
) -> Iterator[HelperState]:
    """Give the state at most once an interval, and at once when more than numbers changed."""
    shown, shown_at = None, 0.0
    for change in follow_state(helper, state, interval, int(interval * _MILLISECONDS)):
        now = context.monotonic()
        is_new = shown is None or change.state.state is not shown.state
        # Half an interval of tolerance: numbers come about once an interval, not exactly.
        if is_new or now - shown_at >= interval / 2:
            shown, shown_at = change.state, now
            yield change.state


def _interval(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _MIN_INTERVAL <= value <= _MAX_INTERVAL:
        raise UsageError("--watch takes seconds from 0.1 to 60")
    return value


def events(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn events``."""
    since = _number(namespace.since)
    with context.open_helper() as helper:
        if namespace.follow:
            helper.call(SUBSCRIBE, 0)  # first, so that nothing falls between
        last = since
        (found,) = helper.call(GET_EVENTS, since, MAX_EVENTS)
        for values in found if isinstance(found, list) else []:
            record = record_from(values)
            if record is not None:
                last = max(last, record.id)
                _print_event(context, record, as_json=namespace.json)
        try:
            while namespace.follow:
                last = _follow_events(context, helper, last, as_json=namespace.json)
        except KeyboardInterrupt:
            pass
    return ExitCode.OK


def _follow_events(context: Context, helper: Helper, last: int, *, as_json: bool) -> int:
    """Print events for a while; return the number of the last one."""
    for signal in helper.signals(_PATIENCE):
        if signal.name == EVENT.name:
            names = [argument.name for argument in EVENT.arguments]
            record = record_from(dict(zip(names, signal.values, strict=True)))
            if record is not None and record.id > last:
                last = record.id
                _print_event(context, record, as_json=as_json)
    if helper.is_helper_gone:
        raise HelperError("the helper has ended", "'mqvpn status' starts it again")
    return last


def _print_event(context: Context, record: EventRecord, *, as_json: bool) -> None:
    if as_json:
        context.show_json(
            {
                "id": record.id,
                "time": record.at,
                "kind": record.kind.value,
                "path": record.path,
                "detail": dict(record.detail),
            }
        )
    else:
        context.show(f"{moment_text(record.at)}  {record.kind.value:<14}  {event_text(record)}")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):  # noqa: PLR2004 - fits 64 bits
        raise UsageError("--since takes the number of an event, as --json shows it")
    return int(text)


def diagnose(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn diagnose``; what stands between user and helper is a part of the report."""
    report: dict[str, object] = {"command": own_findings(context.profiles)}
    try:
        report["helper"] = _helper_report(context)
        failure = None
    except HelperError as error:
        report["helper"] = {"error": error.problem, "advice": error.advice}
        failure = error
    _hand_over(namespace, context, report)
    if failure is not None:
        raise failure
    return ExitCode.OK


def _helper_report(context: Context) -> object:
    with context.open_helper() as helper:
        (descriptor,) = helper.call(COLLECT_DIAGNOSTICS)
    if not isinstance(descriptor, FileDescriptor):
        raise HelperError("the helper sent no report")
    with descriptor:
        return _read_report(descriptor)


def _hand_over(namespace: argparse.Namespace, context: Context, report: object) -> None:
    """Print a report, or write it to a file."""
    text = json.dumps(report, ensure_ascii=False, indent=None if namespace.json else 2)
    if namespace.output is None:
        context.show(text)
        return
    try:
        write_private_file(Path(namespace.output), f"{text}\n", overwrite=namespace.force)
    except FileExistsError:
        raise UsageError(f"{namespace.output}: exists already", "--force overwrites it") from None
    context.show(f"{namespace.output}: written; read it before you send it to anybody")


def _read_report(descriptor: FileDescriptor) -> object:
    """Read the helper's report, which has an end and comes in time."""
    data = b""
    while len(data) <= _MAX_REPORT_BYTES:
        ready, _, _ = select.select([descriptor], [], [], _REPORT_WAIT)
        if not ready:
            raise HelperError("the helper's report does not come")
        more = os.read(descriptor.fileno(), 65536)
        if not more:
            break
        data += more
    try:
        report: object = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise HelperError("the helper's report is broken") from None
    return report
