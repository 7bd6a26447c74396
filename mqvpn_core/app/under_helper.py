"""A client under the privileged helper: no privilege of its own, everything by inherited files.

The same client as ``mqvpn-core client``; only the machine is asked for over the control socket, the
TUN device is inherited, and the secret is read from a descriptor. Socket options that need no
privilege are all it uses.

    run_under_helper
    |- HelperLink.run       carries messages; the end of the helper is the end of the run
    |- _follow_commands     does what the user wants of paths, and disconnects
    |- HelperReporter.run   tells state, paths and events
    `- run_client           as in `mqvpn_core.app.client`
"""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import trio

from mqvpn_core.app.client import ClientSurroundings, run_client
from mqvpn_core.app.client_parts import ClientParts
from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.app.helper_reports import HelperReporter
from mqvpn_core.app.logging_setup import set_up_logging
from mqvpn_core.app.path_probe import probe_paths
from mqvpn_core.config import ClientConfig, HostPort, LinkRole, LogLevel, RoutesMode, Scheduler
from mqvpn_core.config.parsing import key, pin, template
from mqvpn_core.config.settings import QuicConfig
from mqvpn_core.errors import ConfigError, HelperError, HostError
from mqvpn_core.runtime.collector import spare_what_stays
from mqvpn_core.runtime.descriptor_limit import claim_descriptors
from mqvpn_core.runtime.helper_host import HelperHost, HelperResolver
from mqvpn_core.runtime.helper_link import HelperLink
from mqvpn_core.tunnel.lifecycle import Failure, FailureKind
from mqvpn_core.tunnel.link_usage import Usage
from mqvpn_helper.interface.bus_names import BusError
from mqvpn_helper.interface.control_messages import (
    Disconnect,
    FailureReport,
    LinkUsage,
    Revalidate,
    SetPath,
    WantStats,
)
from mqvpn_helper.interface.control_packets import one_line
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import PathPolicy, PathRole, TunnelRoutes

_log = logging.getLogger(__name__)

_MAX_SECRET_BYTES = 4096
_LAST_WORDS_LIMIT = 2.0

_ERRORS = {
    FailureKind.NAME_NOT_FOUND: BusError.RESOLVER,
    FailureKind.UNREACHABLE: BusError.UNREACHABLE,
    FailureKind.CERTIFICATE: BusError.CERTIFICATE,
    FailureKind.CREDENTIALS: BusError.CREDENTIALS,
    FailureKind.REFUSED: BusError.REFUSED,
    FailureKind.LOST: BusError.UNREACHABLE,
    FailureKind.HOST: BusError.HOST,
}


def run(tun_fd: int, control_fd: int, secret_fd: int) -> int:
    """Run a client over inherited descriptors until the helper ends it; return the exit code."""
    spare_what_stays()
    return trio.run(_main, tun_fd, control_fd, secret_fd)


async def _main(tun_fd: int, control_fd: int, secret_fd: int) -> ExitCode:
    secret = _read_secret(secret_fd)
    link = HelperLink(socket.socket(fileno=control_fd))
    try:
        claim_descriptors()
        return await run_under_helper(link, tun_fd, secret)
    except* (HelperError, HostError, ConfigError) as group:
        _log.error("%s", _innermost(group))
    finally:
        link.close()
    return ExitCode.FAILURE


async def run_under_helper(link: HelperLink, tun_fd: int, secret: str) -> ExitCode:
    """Make the tunnel that the helper asks for.

    Args:
        link: the helper.
        tun_fd: the TUN device.
        secret: what to show to the server; empty for nothing.

    Raises:
        HelperError: the helper cannot be understood.
    """
    start = await link.greet()
    set_up_logging(LogLevel.INFO)
    failure: Failure | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        stop = trio.Event()
        nursery.start_soon(_stop_without_helper, link, stop)
        try:
            with _authorities(start.profile.ca_certificates) as ca_file:
                config = client_config(start.profile, secret, ca_file)
                set_up_logging(
                    LogLevel.INFO, secrets=[] if config.auth_key is None else [config.auth_key]
                )
                os.set_blocking(tun_fd, False)

                async def attend(parts: ClientParts) -> None:
                    parts.usage.adopt(_earlier(start.usage))
                    reporter = HelperReporter(link, parts)
                    async with trio.open_nursery() as attendants:
                        attendants.start_soon(reporter.run)
                        attendants.start_soon(_follow_commands, link, parts, reporter, stop)

                surroundings = ClientSurroundings(
                    host=HelperHost(link, start, tun_fd),
                    resolver=HelperResolver(link, start),
                    attend=attend,
                )
                failure = await run_client(config, surroundings, stop)
        except* (HostError, ConfigError) as group:
            failure = Failure(kind=FailureKind.HOST, message=str(_innermost(group)))
        if failure is not None and not link.lost.is_set():
            kind = _ERRORS[failure.kind]
            link.report(FailureReport(kind=kind, text=one_line(failure.message)))
        with trio.move_on_after(_LAST_WORDS_LIMIT):
            await link.wait_sent()
        nursery.cancel_scope.cancel()
    return ExitCode.OK if failure is None else ExitCode.FAILURE


def client_config(profile: Profile, secret: str, ca_file: Path | None) -> ClientConfig:
    """Return the configuration that follows from a profile.

    Args:
        profile: what the user wants.
        secret: what to show to the server; empty for nothing.
        ca_file: where its authorities are.

    Raises:
        ConfigError: the key or a member of the profile is not allowed.
    """
    return ClientConfig(
        server=HostPort(host=profile.host, port=profile.port),
        server_name=profile.server_name or None,
        ca_file=ca_file,
        pins=tuple(pin(each) for each in profile.pins),
        insecure=profile.insecure,
        auth_key=key(secret) if secret else None,
        template=template(profile.template),
        ipv4=profile.ipv4,
        ipv6=profile.ipv6,
        tun_name=profile.tun_name,
        mtu=profile.mtu or None,
        manage_routes=profile.routes is not TunnelRoutes.NONE,
        routes=(
            RoutesMode.ADVERTISED
            if profile.routes is TunnelRoutes.ADVERTISED
            else RoutesMode.DEFAULT
        ),
        reconnect=profile.reconnect,
        paths=profile.paths,
        ignore_interfaces=profile.ignore_interfaces,
        roles=tuple(
            (name, LinkRole(role.value))
            for name, role in profile.roles
            if role is not PathRole.DEFAULT
        ),
        caps=profile.caps,
        rate_limits=profile.rate_limits,
        usage_file=None,
        quic=QuicConfig(
            keep_alive=profile.keep_alive,
            idle_timeout=profile.idle_timeout,
            scheduler=Scheduler(profile.scheduler.value),
        ),
        control_socket=None,
        split_exclude=profile.split.exclude_names,
        split_include=profile.split.include_names,
    )


async def _stop_without_helper(link: HelperLink, stop: trio.Event) -> None:
    await link.lost.wait()
    _log.error("the helper is gone: the tunnel ends")
    stop.set()


async def _follow_commands(
    link: HelperLink, parts: ClientParts, reporter: HelperReporter, stop: trio.Event
) -> None:
    while True:
        match await link.next_command():
            case SetPath() as command:
                _set_path(parts, command.interface, command.policy)
            case WantStats() as command:
                reporter.want_stats(command.interval)
            case Revalidate():
                probe_paths(parts)
            case Disconnect():
                stop.set()


def _earlier(usage: LinkUsage) -> Usage:
    return Usage(month=usage.month, bytes_by_link=MappingProxyType(dict(usage.bytes_by_link)))


def _set_path(parts: ClientParts, interface: str, policy: PathPolicy) -> None:
    if policy.role is not None:
        is_default = policy.role is PathRole.DEFAULT
        parts.board.set_role(interface, None if is_default else LinkRole(policy.role.value))
    if policy.cap_bytes is not None:
        parts.usage.set_cap(interface, policy.cap_bytes or None)
    if policy.rate_limit is not None:
        parts.board.set_rate_limit(interface, policy.rate_limit or None)


@contextlib.contextmanager
def _authorities(certificates: str) -> Iterator[Path | None]:
    """Offer certificates as a file, which TLS wants, without a file system to write to."""
    if not certificates:
        yield None
        return
    memory = os.memfd_create("mqvpn-authorities", os.MFD_CLOEXEC)
    try:
        os.write(memory, certificates.encode("ascii"))
        yield Path(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)


def _read_secret(fd: int) -> str:
    try:
        data = os.read(fd, _MAX_SECRET_BYTES)
    finally:
        os.close(fd)
    # What is no ASCII is no key, and is refused as such.
    return data.decode("ascii", "replace").strip()


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
