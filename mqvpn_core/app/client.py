"""``mqvpn-core client``: puts the parts of a client together and runs them.

The tree of tasks:

    run_client
    |- records.run        writes traces, if they are wanted
    |- LinkWatch.run      follows the links of this machine
    |- PortalKeeper.run   lets a link past the kill switch for a while, on request
    |- keep_protected     keeps the machine in step with links, names and the firewall
    |- UsageKeeper.run    counts what goes over each link
    |- LinkControl.run    keeps what the user changes at his links
    |- serve_control      answers ``mqvpn-core status`` and ``events``
    |- attend             accompanies the client for somebody else, such as the helper
    |- _disconnect_on     asks the supervisor to disconnect
    `- supervisor.run     one lifecycle; below it one attempt at a time, and below that its drivers
"""

import datetime as dt
import json
import logging
import secrets
import signal
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

import trio

from mqvpn_core.app.client_parts import ClientParts
from mqvpn_core.app.client_protection import (
    has_kill_switch,
    host_settings,
    keep_protected,
)
from mqvpn_core.app.client_status import client_status
from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.app.own_machine import own_machine
from mqvpn_core.app.quic_settings import client_trust, transport_config
from mqvpn_core.app.run_records import RunRecords, open_records
from mqvpn_core.app.scheduler_choice import switch_scheduler
from mqvpn_core.app.service_reports import report_client
from mqvpn_core.app.termination import (
    STOP_SIGNALS,
    exit_code_of,
    report_errors,
    set_on_signal,
)
from mqvpn_core.config import AUTO_PATHS, DEFAULT_PORT, ClientConfig, HostPort
from mqvpn_core.errors import ConfigError, HostError
from mqvpn_core.masque.client_config import ClientSessionConfig
from mqvpn_core.masque.tunnel_link import LinkConfig
from mqvpn_core.runtime.client_connection import (
    ClientConnection,
    DialSettings,
    open_client_connection,
)
from mqvpn_core.runtime.client_links import ClientLinks
from mqvpn_core.runtime.client_supervisor import (
    RESTORE_LIMIT,
    ClientSupervisor,
    SupervisorParts,
)
from mqvpn_core.runtime.collector import spare_what_stays
from mqvpn_core.runtime.control_readers import ControlSources
from mqvpn_core.runtime.control_socket import serve_control
from mqvpn_core.runtime.descriptor_limit import claim_descriptors
from mqvpn_core.runtime.dialing import Candidate, DialLimits
from mqvpn_core.runtime.freed_memory import give_back_what_is_too_much
from mqvpn_core.runtime.host_operations import HostOperations
from mqvpn_core.runtime.lifecycle_watch import LifecycleWatch
from mqvpn_core.runtime.link_changes import LinkChanges
from mqvpn_core.runtime.link_control import LinkControl
from mqvpn_core.runtime.link_sockets import LinkSockets
from mqvpn_core.runtime.link_watch import LinkWatch
from mqvpn_core.runtime.name_resolution import NameResolver
from mqvpn_core.runtime.netlink_monitor import NetlinkMonitor
from mqvpn_core.runtime.plan_keeper import LettingResolver, PlanKeeper
from mqvpn_core.runtime.portal_keeper import PortalKeeper
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.runtime.service_manager import ServiceManager
from mqvpn_core.runtime.tun_device import TunDevice
from mqvpn_core.runtime.tunnel_attempt import AttemptParts, TunnelAttempts
from mqvpn_core.runtime.usage_keeper import UsageKeeper, UsageSettings
from mqvpn_core.tunnel.backoff import Backoff, BackoffConfig
from mqvpn_core.tunnel.lifecycle import Failure
from mqvpn_core.tunnel.link_rules import LinkRules
from mqvpn_core.wire.uri_templates import parse_uri_template
from mqvpn_helper.interface.host_plan import CORE_MARK

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSurroundings:
    """What a client touches of the world; tests bring their own."""

    host: HostOperations = field(default_factory=own_machine)
    """The machine."""
    resolver: NameResolver = field(default_factory=NameResolver)
    """Name service."""
    watch_links: Callable[[], NetlinkMonitor] = NetlinkMonitor
    """Opens the source of news about links."""
    attend: Callable[[ClientParts], Awaitable[None]] | None = None
    """Runs beside the client, from before its first attempt to its end."""


def run(config: ClientConfig) -> int:
    """Run a client until it is stopped; return the exit code."""
    spare_what_stays()
    return trio.run(_main, config)


async def _main(config: ClientConfig) -> ExitCode:
    code = ExitCode.FAILURE
    try:
        claim_descriptors()
        with trio.open_signal_receiver(*STOP_SIGNALS, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                stop = trio.Event()
                nursery.start_soon(set_on_signal, signals, stop)
                report = partial(report_client, ServiceManager(), str(config.server))
                surroundings = ClientSurroundings(attend=report)
                code = exit_code_of(await run_client(config, surroundings, stop))
                nursery.cancel_scope.cancel()
    except* (HostError, ConfigError) as group:
        code = report_errors(group)
    return code


async def run_client(
    config: ClientConfig, surroundings: ClientSurroundings, stop: trio.Event
) -> Failure | None:
    """Keep a tunnel up until ``stop`` is set.

    Args:
        config: the settings.
        surroundings: the world.
        stop: ends the run in order.

    Returns:
        Why it ended; None when it was stopped.

    Raises:
        HostError: the machine refuses what a tunnel needs.
    """
    host = surroundings.host
    records = open_records(config.qlog, log_level=logging.INFO)
    handle = await host.open_tun(config.tun_name, keep_leftovers=has_kill_switch(config))
    tun = TunDevice(handle.fd)
    keeper = PlanKeeper(host, host_settings(config, handle.name))
    portal = PortalKeeper(keeper)
    try:
        for line in await host.recover():
            _log.info("%s", line)
        with closing(surroundings.watch_links()) as source:
            watch = LinkWatch(source)
            board = RuleBoard(_link_rules(config, handle.name))
            usage = UsageKeeper(_usage_settings(config), board)
            control = _restore_links(config, board, usage)
            links = ClientLinks(
                watch,
                board,
                host,
                LinkSockets(usage, mark=CORE_MARK if keeper.has_kill_switch else None),
            )
            session = _session_config(config, handle.instance)
            resolver = surroundings.resolver
            letting = replace(surroundings, resolver=LettingResolver(resolver, keeper))
            attempts = _make_attempts(config, letting, session, tun, links, records)
            lifecycle = LifecycleWatch(records.events, str(config.server))
            supervisor = _make_supervisor(config, keeper, attempts, watch, lifecycle)
            async with trio.open_nursery() as nursery:
                for task in (records.run, usage.run, control.run, give_back_what_is_too_much):
                    nursery.start_soon(task)
                await nursery.start(watch.run)
                await nursery.start(keep_protected, config, keeper, portal, links, resolver)
                parts = ClientParts(
                    config=config,
                    tun_name=handle.name,
                    keeper=keeper,
                    portal=portal,
                    supervisor=supervisor,
                    attempts=attempts,
                    links=watch,
                    board=board,
                    usage=usage,
                    events=records.events,
                )
                if config.control_socket is not None:
                    sources = _control_sources(parts, control)
                    await nursery.start(serve_control, config.control_socket, sources)
                if surroundings.attend is not None:
                    nursery.start_soon(surroundings.attend, parts)
                nursery.start_soon(_disconnect_on, stop, supervisor, keeper)
                failure = await supervisor.run()
                nursery.cancel_scope.cancel()
    finally:
        # Again after the supervisor, for what opening the device has put into the journal.
        with trio.move_on_after(RESTORE_LIMIT, shield=True):
            await keeper.undo()
        tun.close()
    if failure is not None:
        _log.error("%s", failure.message)
    return failure


async def _disconnect_on(
    stop: trio.Event, supervisor: ClientSupervisor, keeper: PlanKeeper
) -> None:
    await stop.wait()
    keeper.leave()
    await supervisor.disconnect()


def _control_sources(parts: ClientParts, control: LinkControl) -> ControlSources:
    return ControlSources(
        status=partial(client_status, parts),
        events=parts.events,
        set_link=control.set_link,
        allow_portal=parts.portal.allow,
        set_scheduler=partial(switch_scheduler, parts.attempts.set_scheduler),
    )


def _make_attempts(
    config: ClientConfig,
    surroundings: ClientSurroundings,
    session: ClientSessionConfig,
    tun: TunDevice,
    links: ClientLinks,
    records: RunRecords,
) -> TunnelAttempts:
    settings = DialSettings(
        transport=transport_config(config),
        trust=client_trust(config),
        entropy=secrets.token_bytes,
    )

    async def open_connection(candidate: Candidate) -> ClientConnection:
        socket = links.sockets.open(candidate.link.name, candidate.link.source)
        opened = open_client_connection(candidate, socket, settings)
        if records.qlog is not None:
            records.qlog.follow(opened.connection, opened.driver.finished.is_set)
        return opened

    return TunnelAttempts(
        AttemptParts(
            server=config.server,
            session=session,
            host=surroundings.host,
            host_settings=host_settings(config, links.board.rules.own_device),
            tun=tun,
            resolver=surroundings.resolver,
            links=links,
            open_connection=open_connection,
            events=records.events,
            scheduler=config.quic.scheduler,
            known_by=_known_by(config),
            limits=DialLimits(),
        )
    )


def _make_supervisor(
    config: ClientConfig,
    keeper: PlanKeeper,
    attempts: TunnelAttempts,
    links: LinkWatch,
    watch: LifecycleWatch,
) -> ClientSupervisor:
    async def wait_for_links() -> None:
        await links.wait_change(links.version)

    pause = config.reconnect_interval
    backoff = BackoffConfig(
        first=pause * 0.1, early_ceiling=pause * 0.9, ceiling=max(pause, _LONGEST_PAUSE)
    )
    return ClientSupervisor(
        SupervisorParts(
            host=keeper,
            attempt=attempts.run,
            plan=keeper.plan,
            backoff=Backoff(backoff, secrets.token_bytes),
            reconnect=config.reconnect,
            wait_for_reason=wait_for_links,
            note=watch.note,
        )
    )


def _session_config(config: ClientConfig, instance: str) -> ClientSessionConfig:
    authority = _authority(config)
    key = config.auth_key
    return ClientSessionConfig(
        template=parse_uri_template(f"https://{authority}{config.template}"),
        authority=authority,
        authorization=None if key is None else f"Bearer {key.reveal()}".encode(),
        want_ipv4=config.ipv4,
        want_ipv6=config.ipv6,
        instance=instance,
        link=LinkConfig() if config.mtu is None else LinkConfig(max_mtu=config.mtu),
    )


def _known_by(config: ClientConfig) -> str:
    if config.insecure:
        return "NOT AUTHENTICATED (insecure)"
    return "known by its pinned key" if config.pins else "known by its certificate"


def _authority(config: ClientConfig) -> str:
    name = str(HostPort(host=config.tls_name, port=config.server.port))
    return name.removesuffix(f":{DEFAULT_PORT}")


def _link_rules(config: ClientConfig, tun_name: str) -> LinkRules:
    return LinkRules(
        paths=config.paths or (AUTO_PATHS,),
        ignored=config.ignore_interfaces,
        roles=config.roles,
        rate_limits=config.rate_limits,
        own_device=tun_name,
    )


def _restore_links(config: ClientConfig, board: RuleBoard, usage: UsageKeeper) -> LinkControl:
    """Take up what earlier runs have left about links."""
    usage.load()
    usage_file = config.usage_file
    configured = [
        [(pattern, role.value) for pattern, role in config.roles],
        config.caps,
        config.rate_limits,
    ]
    changes = LinkChanges(
        None if usage_file is None else usage_file.with_suffix(".links.json"),
        json.dumps(configured),
    )
    control = LinkControl(board, usage, changes)
    control.restore()
    return control


def _usage_settings(config: ClientConfig) -> UsageSettings:
    return UsageSettings(
        file=config.usage_file,
        caps=config.caps,
        warn_percent=config.cap_warning,
        # Providers count by the calendar on the wall.
        month=lambda: dt.datetime.now(dt.UTC).astimezone().strftime("%Y-%m"),
    )
