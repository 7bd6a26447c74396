"""Keys about what may leave a client's machine outside the tunnel."""

import re

from mqvpn_core.config import parsing
from mqvpn_core.config.setting import BOTH, CLIENT, Form, Group, Setting, last
from mqvpn_core.config.values import IPNetwork, KillSwitchSetting
from mqvpn_core.errors import ConfigError

_BOOLEANS = {True: KillSwitchSetting.STANDARD, False: KillSwitchSetting.OFF}
_CGROUP = re.compile(r"[A-Za-z0-9_.@:\\-]+(?:/[A-Za-z0-9_.@:\\-]+)*")
_CGROUP_ROOT = "/sys/fs/cgroup/"
_MAX_CGROUP = 1024


def _kill_switch(text: str) -> KillSwitchSetting:
    try:
        return _BOOLEANS[parsing.boolean(text)]
    except ConfigError:
        return parsing.choice(KillSwitchSetting)(text)


def _target(text: str) -> IPNetwork | str:
    if "/" in text or ":" in text or text.replace(".", "").isdigit():
        return parsing.network(text)
    if text.startswith("*"):
        raise ConfigError(
            f"{parsing.quote(text)} is a pattern, but only names that can be looked up are known:"
            " write each name"
        )
    return parsing.host(text)


def _cgroup(text: str) -> str:
    path = text.removeprefix(_CGROUP_ROOT).strip("/")
    if (
        len(path) > _MAX_CGROUP
        or _CGROUP.fullmatch(path) is None
        or any(not part.strip(".") for part in path.split("/"))
    ):
        raise ConfigError(f"{parsing.quote(text)} is not the path of a control group")
    return path


KILL_SWITCH: Setting[KillSwitchSetting] = Setting(
    name="kill_switch",
    roles=BOTH,
    group=Group.PROTECTION,
    form=Form.SWITCH,
    allowed="off, standard or always; true is standard; a server has none",
    default=("off",),
    doc="Block everything outside the tunnel: standard from before the first connection until the"
    " program is stopped on request (not when it fails or is killed: the next start or"
    " 'mqvpn-core recover' ends it then), always also before and after, from boot on.",
    parse=last(_kill_switch),
    placeholder="MODE",
    ini="Interface.KillSwitch",
)
ALLOW_LAN: Setting[bool] = Setting(
    name="allow_lan",
    roles=CLIENT,
    group=Group.PROTECTION,
    form=Form.BOOLEAN,
    allowed="true or false",
    default=("false",),
    doc="Let the kill switch pass what goes to private and link-local addresses, such as printers;"
    " name service is not among it.",
    parse=last(parsing.boolean),
)
SPLIT_EXCLUDE: Setting[tuple[IPNetwork | str, ...]] = Setting(
    name="split_exclude",
    roles=CLIENT,
    group=Group.PROTECTION,
    form=Form.LIST,
    allowed="networks such as 192.0.2.0/24, addresses, or host names (each name by itself; they are"
    " looked up again every minute)",
    default=(),
    doc="Destinations that stay outside the tunnel, also when there is a kill switch.",
    parse=parsing.sequence(_target),
    placeholder="NET|NAME",
)
SPLIT_INCLUDE: Setting[tuple[IPNetwork | str, ...]] = Setting(
    name="split_include",
    roles=CLIENT,
    group=Group.PROTECTION,
    form=Form.LIST,
    allowed="as for split_exclude",
    default=(),
    doc="The only destinations that go into the tunnel, in place of what routes says; not together"
    " with a kill switch.",
    parse=parsing.sequence(_target),
    placeholder="NET|NAME",
)
SPLIT_CGROUPS: Setting[tuple[str, ...]] = Setting(
    name="split_cgroups",
    roles=CLIENT,
    group=Group.PROTECTION,
    form=Form.LIST,
    allowed="paths of control groups below /sys/fs/cgroup (version 2); they must exist",
    default=(),
    doc="Programs in these control groups stay outside the tunnel, except for the names they look"
    " up.",
    parse=parsing.sequence(_cgroup),
    placeholder="PATH",
)
