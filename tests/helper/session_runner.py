"""A helper without D-Bus: one session over the real host and a real, unprivileged core.

    python -m tests.helper.session_runner PROFILE.json SECRET_FILE STATE_DIRECTORY COMMANDS

Events go to standard output, one JSON object a line; commands come, one a line, through the FIFO.
"""

import dataclasses
import enum
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import trio
from typing_extensions import override

from mqvpn_helper.interface.host_plan import KillSwitchMode
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import PathPolicy
from mqvpn_helper.session.core_launch import CoreIdentity, ProcessLauncher
from mqvpn_helper.session.core_process import CoreFiles, CoreProcess
from mqvpn_helper.session.events import SessionEvent
from mqvpn_helper.session.secret_shelf import FileShelf
from mqvpn_helper.session.threaded_host import ThreadedHost
from mqvpn_helper.session.tunnel_memory import WantedTunnel, Wish, memory_of
from mqvpn_helper.session.tunnel_session import TunnelSession

CORE_UID = 61002
"""An unprivileged user that owns nothing."""


class _TellingLauncher(ProcessLauncher):
    """Says which process a core is."""

    @override
    async def launch(self, files: CoreFiles) -> CoreProcess:
        process = await super().launch(files)
        _print({"event": "Launched", "pid": process.pid})
        return process


def _print(line: dict[str, object]) -> None:
    # One system call: the core writes into the same file, and nothing of it may come in between.
    os.write(1, json.dumps(line, default=_plain).encode() + b"\n")


def _tell(event: SessionEvent) -> None:
    _print({"event": type(event).__name__, **_members(event)})


def _members(value: object) -> dict[str, object]:
    assert dataclasses.is_dataclass(value)
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    return _members(value) if dataclasses.is_dataclass(value) else str(value)


async def _follow(commands: Path, session: TunnelSession) -> None:
    fd = os.open(commands, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    pending = b""
    while True:
        await trio.lowlevel.wait_readable(fd)
        pending += os.read(fd, 4096)
        *lines, pending = pending.split(b"\n")
        for line in lines:
            _execute(line.decode().split(), session)


def _execute(words: list[str], session: TunnelSession) -> None:
    match words:
        case ["disconnect"]:
            session.disconnect()
        case ["stats", interval]:
            session.request_stats(float(interval))
        case ["role", interface, role]:
            session.set_path_policy(interface, PathPolicy.from_mapping({"role": role}))
        case ["kill-switch", mode]:
            session.set_kill_switch(KillSwitchMode(mode))
        case ["revalidate"]:
            session.revalidate_paths()
        case ["secret", file]:
            session.provide_secrets(_secret(Path(file)))
        case _:
            raise AssertionError(words)


def _secret(file: Path) -> int:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.write(writer, file.read_bytes())
    os.close(writer)
    return reader


async def _main(profile: Profile, secret: int, state: Path, commands: Path) -> None:
    wish = Wish(profile=profile)
    session = TunnelSession(
        wish,
        secret,
        ThreadedHost(state),
        _TellingLauncher(CoreIdentity(uid=CORE_UID, gid=CORE_UID)),
        memory_of(WantedTunnel(wish=wish, owner=0, secret=None), state, FileShelf()),
        _tell,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_follow, commands, session)
        await session.run()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    _profile, _key, _state, _fifo = map(Path, sys.argv[1:])
    _wanted = Profile.from_mapping(json.loads(_profile.read_text()))
    trio.run(_main, _wanted, _secret(_key), _state, _fifo)
