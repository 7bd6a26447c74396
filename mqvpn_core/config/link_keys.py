"""Keys about the links that a client sends through."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from mqvpn_core.config import parsing, quantities
from mqvpn_core.config.setting import CLIENT, Form, Group, Setting, last
from mqvpn_core.config.values import AUTO_PATHS, DEFAULT_IGNORED_LINKS, LinkRole
from mqvpn_core.errors import ConfigError

_T = TypeVar("_T")


def _path(text: str) -> str:
    return AUTO_PATHS if text.lower() == AUTO_PATHS else parsing.link_name(text)


def _by_link(
    parse: Callable[[str], _T],
) -> Callable[[Sequence[str]], tuple[tuple[str, _T], ...]]:
    """Return a reader of ``LINK=VALUE``; of two for the same link the later counts."""

    def parse_all(texts: Sequence[str]) -> tuple[tuple[str, _T], ...]:
        values: dict[str, _T] = {}
        for text in texts:
            name, equals, value = text.rpartition("=")
            if not equals:
                raise ConfigError(f"{parsing.quote(text)} is not INTERFACE=VALUE")
            values[parsing.link_name(name.strip())] = parse(value.strip())
        return tuple(values.items())

    return parse_all


PATHS: Setting[tuple[str, ...]] = Setting(
    name="paths",
    roles=CLIENT,
    group=Group.LINKS,
    form=Form.LIST,
    allowed='names or patterns of interfaces, such as "wlan0" or "wwan*", and auto: every interface'
    " that is no tunnel and not in ignore_interfaces",
    default=(AUTO_PATHS,),
    doc="Interfaces to send through, in order of preference; each that leads to the server becomes"
    " a path.",
    parse=parsing.sequence(_path),
    placeholder="IFACE",
    options=("--path",),
    ini="Multipath.Path",
)
IGNORE_INTERFACES: Setting[tuple[str, ...]] = Setting(
    name="ignore_interfaces",
    roles=CLIENT,
    group=Group.LINKS,
    form=Form.LIST,
    allowed="names or patterns of interfaces",
    default=DEFAULT_IGNORED_LINKS,
    doc="Interfaces that auto leaves out.",
    parse=parsing.sequence(parsing.link_name),
    placeholder="IFACE",
    options=("--ignore-interface",),
)
ROLES: Setting[tuple[tuple[str, LinkRole], ...]] = Setting(
    name="roles",
    roles=CLIENT,
    group=Group.LINKS,
    form=Form.TABLE,
    allowed="primary, secondary (used when the primary ones are full), backup (only when no other"
    " works) or never, by name or pattern of the interface",
    default=(),
    doc="What an interface is for; mobile networks are backup and all others primary unless said"
    " here.",
    parse=_by_link(parsing.choice(LinkRole)),
    placeholder="IFACE=ROLE",
    options=("--role",),
)
CAPS: Setting[tuple[tuple[str, int], ...]] = Setting(
    name="caps",
    roles=CLIENT,
    group=Group.LINKS,
    form=Form.TABLE,
    allowed="an amount such as 5 GB, by name or pattern of the interface",
    default=(),
    doc="How much the tunnel may carry over an interface in a calendar month, both directions"
    " together; then the interface is not used until the next one.",
    parse=_by_link(quantities.size),
    placeholder="IFACE=AMOUNT",
    options=("--cap",),
)
CAP_WARNING: Setting[int] = Setting(
    name="cap_warning",
    roles=CLIENT,
    group=Group.LINKS,
    form=Form.NUMBER,
    allowed="1 to 100 percent",
    default=("80",),
    doc="Share of a cap at which the log warns.",
    parse=last(parsing.integer(1, 100)),
    placeholder="PERCENT",
)
RATE_LIMITS: Setting[tuple[tuple[str, int], ...]] = Setting(
    name="rate_limits",
    roles=CLIENT,
    group=Group.LINKS,
    form=Form.TABLE,
    allowed="a rate such as 10 Mbit/s, by name or pattern of the interface",
    default=(),
    doc="How fast the tunnel may be over an interface, in each direction.",
    parse=_by_link(quantities.rate),
    placeholder="IFACE=RATE",
    options=("--rate-limit",),
)
USAGE_FILE: Setting[str] = Setting(
    name="usage_file",
    roles=CLIENT,
    group=Group.LINKS,
    form=Form.TEXT,
    allowed="a file name, off, or auto: /var/lib/mqvpn/usage-TUN_NAME.json",
    default=("auto",),
    doc="Where the amounts that count for caps survive a restart; what 'path set' changed is kept"
    " beside it.",
    parse=last(lambda text: str(parsing.path(text))),
    placeholder="FILE",
    is_file=True,
)
