"""What a client's configuration means for its own machine: kill switch, names, split tunnelling."""

import logging
from contextlib import closing

import trio

from mqvpn_core.config import ClientConfig, KillSwitchSetting, RoutesMode
from mqvpn_core.errors import HostError
from mqvpn_core.runtime.firewall_watch import FirewallWatch
from mqvpn_core.runtime.name_resolution import RESOLVE_LIMIT, NameResolver
from mqvpn_core.runtime.plan_keeper import LinkBoard, PlanKeeper, SplitNames, usable_links
from mqvpn_core.runtime.portal_keeper import PortalKeeper
from mqvpn_core.tunnel.host_plan import ClientHostSettings
from mqvpn_helper.interface.host_plan import KillSwitchMode

_log = logging.getLogger(__name__)


def host_settings(config: ClientConfig, tun_name: str) -> ClientHostSettings:
    """Return what the user decided about his machine.

    Args:
        config: the settings.
        tun_name: name of the TUN device.
    """
    return ClientHostSettings(
        tun_name=tun_name,
        manage_routes=config.manage_routes,
        everything=config.routes is RoutesMode.DEFAULT,
        dns=config.dns,
        kill_switch=KillSwitchMode(config.kill_switch.value),
        server_port=config.server.port,
        allow_lan=config.allow_lan,
        exclude=tuple(each for each in config.split_exclude if not isinstance(each, str)),
        only_included=bool(config.split_include),
        include=tuple(each for each in config.split_include if not isinstance(each, str)),
        cgroups=config.split_cgroups,
    )


def split_names(config: ClientConfig) -> SplitNames:
    """Return the host names of split tunnelling.

    Args:
        config: the settings.
    """
    return SplitNames(
        exclude=tuple(each for each in config.split_exclude if isinstance(each, str)),
        include=tuple(each for each in config.split_include if isinstance(each, str)),
    )


def has_kill_switch(config: ClientConfig) -> bool:
    """Return whether traffic outside the tunnel is to be blocked.

    Args:
        config: the settings.
    """
    return config.kill_switch is not KillSwitchSetting.OFF


async def keep_protected(
    config: ClientConfig,
    keeper: PlanKeeper,
    portal: PortalKeeper,
    links: LinkBoard,
    resolver: NameResolver,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Bring into force what must be there before the first connection, and keep it in step.

    Args:
        config: the settings.
        keeper: brings it into force.
        portal: the exception that the user may ask for.
        links: the links of this machine.
        resolver: the machine's name service.
        task_status: told when everything is in force.

    Raises:
        HostError: the machine refuses.
    """
    async with trio.open_nursery() as nursery:
        await _protect(config, keeper, links, resolver)
        task_status.started()
        nursery.start_soon(keeper.follow_links, links)
        nursery.start_soon(keeper.follow_names, split_names(config), resolver)
        if keeper.has_kill_switch:
            nursery.start_soon(portal.run)
            with closing(FirewallWatch()) as watch:
                await keeper.follow_firewall(watch.wait_change)


async def _protect(
    config: ClientConfig, keeper: PlanKeeper, links: LinkBoard, resolver: NameResolver
) -> None:
    if keeper.has_kill_switch:
        # Later there is nobody to ask; now it is as without a tunnel.
        with trio.move_on_after(RESOLVE_LIMIT):
            try:
                await keeper.let_through(await resolver.resolve(config.server.host))
            except HostError as error:
                _log.debug("%s", error)
    await keeper.prepare(usable_links(links))
