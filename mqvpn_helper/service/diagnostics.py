"""A report for somebody who is asked for help: what works here, without addresses and secrets."""

import json
import os
import platform
from collections import Counter
from collections.abc import Iterable

from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.service.event_store import StoredEvent
from mqvpn_helper.service.machine_care import MachineFindings
from mqvpn_helper.service.property_board import PropertyBoard

_TOLD = (
    table.VERSION,
    table.API,
    table.STATE,
    table.SINCE,
    table.KILL_SWITCH,
    table.DNS_METHOD,
    table.PORTAL_UNTIL,
)
"""Properties that name nobody and nothing."""


def make_report(
    board: PropertyBoard, events: Iterable[StoredEvent], findings: MachineFindings
) -> bytes:
    """Return the report as JSON.

    Args:
        board: the properties.
        events: the last events; only their kinds are told.
        findings: what was seen on the machine.
    """
    error = board.value(table.LAST_ERROR)
    assert isinstance(error, tuple)
    paths = board.value(table.PATHS)
    assert isinstance(paths, dict)
    report = {
        "properties": {each.name: board.value(each) for each in _TOLD},
        "last_error": error[0],
        "paths": [
            {name: value for name, (_, value) in path.items() if name != "used_bytes"}
            for path in paths.values()
        ],
        "events": dict(Counter(each.kind.value for each in events)),
        "machine": {
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "has_tun": findings.has_tun,
            "has_nft": findings.has_nft,
            "journal": list(findings.journal),
            "boot_rules": list(findings.boot_rules),
        },
    }
    return json.dumps(report, indent=2).encode()


def open_report(report: bytes) -> int:
    """Return the read end of a pipe with the report in it; the caller closes it."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.write(write_end, report)  # a report is much shorter than a pipe is long
        os.set_blocking(read_end, True)
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return read_end
