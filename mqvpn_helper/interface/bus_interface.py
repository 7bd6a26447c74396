"""The helper on D-Bus: methods, signals and properties with types and polkit actions, one table.

The helper dispatches by this table, its introspection data is generated from it, and whoever calls
the helper (the ``mqvpn`` command, the tray) takes names and signatures from here and from
`mqvpn_helper.interface.bus_names`. Pure data. The interface only grows: what is here keeps its
meaning, and ``API_LEVEL`` counts the additions.

How access works. The *owner* is the user (uid) whose `Connect` brought the tunnel up. Reading what
is public needs nothing. Everything else asks polkit for the action of the method, with the
caller's bus name as the subject; while a tunnel of *another* user is up it asks for
`PolkitAction.OTHERS` instead where the method says so. root is never asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mqvpn_helper.interface.bus_names import (
    INTERFACE_NAME,
    INTROSPECTABLE_INTERFACE,
    PEER_INTERFACE,
    PROPERTIES_INTERFACE,
    PolkitAction,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument or result."""

    name: str
    """Its name."""
    signature: str
    """Its D-Bus type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method."""

    name: str
    """Its name."""
    summary: str
    """What it does, for the reader of the introspection data."""
    arguments: tuple[Argument, ...] = ()
    """What it takes."""
    results: tuple[Argument, ...] = ()
    """What it returns."""
    action: PolkitAction | None = None
    """What the caller must be allowed; None: anybody may call it."""
    is_free_for_owner: bool = False
    """The owner of the tunnel is not asked for `action`."""
    is_guarded_from_others: bool = False
    """While a tunnel of another user is up, `PolkitAction.OTHERS` is asked for instead."""

    @property
    def input_signature(self) -> str:
        """Signature of a call's body."""
        return "".join(each.signature for each in self.arguments)

    @property
    def output_signature(self) -> str:
        """Signature of a reply's body."""
        return "".join(each.signature for each in self.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One signal; those of the helper's own interface go to subscribers one by one."""

    name: str
    """Its name."""
    summary: str
    """When it is sent."""
    arguments: tuple[Argument, ...] = ()
    """What it carries."""

    @property
    def signature(self) -> str:
        """Signature of its body."""
        return "".join(each.signature for each in self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One property; all are read-only and announce their changes."""

    name: str
    """Its name."""
    signature: str
    """Its D-Bus type."""
    summary: str
    """What it says."""
    is_private: bool = False
    """Only root and the owner of the tunnel see it, and hear of its changes once subscribed.

    Others find it missing from `GetAll`, and `Get` says NotAuthorized.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One D-Bus interface of the object."""

    name: str
    """Its name."""
    methods: tuple[Method, ...] = ()
    """Its methods."""
    signals: tuple[Signal, ...] = ()
    """Its signals."""
    properties: tuple[Property, ...] = ()
    """Its properties."""


def _arguments(**signatures: str) -> tuple[Argument, ...]:
    return tuple(Argument(name=name, signature=each) for name, each in signatures.items())


CONNECT = Method(
    name="Connect",
    summary="Bring the tunnel of a profile up; returns at once, State tells the rest",
    arguments=_arguments(profile="a{sv}", secrets="h"),
    results=_arguments(session="o"),
    action=PolkitAction.CONNECT,
)
"""The secrets are the read end of a pipe or a memfd, handed to the core unread."""
DISCONNECT = Method(
    name="Disconnect",
    summary="Take the tunnel down; returns when the machine is as it was",
    action=PolkitAction.CONNECT,
    is_free_for_owner=True,
    is_guarded_from_others=True,
)
PROVIDE_SECRETS = Method(
    name="ProvideSecrets",
    summary="Answer SecretsNeeded, in the same form as Connect",
    arguments=_arguments(secrets="h"),
    action=PolkitAction.CONNECT,
    is_free_for_owner=True,
    is_guarded_from_others=True,
)
SET_PATH_POLICY = Method(
    name="SetPathPolicy",
    summary="Change what a network interface is used for: role, cap_bytes, rate_limit, enabled",
    arguments=_arguments(interface="s", policy="a{sv}"),
    action=PolkitAction.CONNECT,
    is_free_for_owner=True,
    is_guarded_from_others=True,
)
SET_KILL_SWITCH = Method(
    name="SetKillSwitch",
    summary="Change the kill switch: off, standard or always",
    arguments=_arguments(mode="s"),
    action=PolkitAction.KILLSWITCH,
    is_guarded_from_others=True,
)
ALLOW_PORTAL = Method(
    name="AllowPortal",
    summary="Let one interface past the kill switch for some seconds, to log in to its network",
    arguments=_arguments(interface="s", seconds="u"),
    action=PolkitAction.KILLSWITCH,
    is_guarded_from_others=True,
)
"""0 seconds end an exception early."""
SET_SPLIT = Method(
    name="SetSplit",
    summary="Change what goes beside the tunnel",
    arguments=_arguments(settings="a{sv}"),
    action=PolkitAction.CONFIGURE,
    is_guarded_from_others=True,
)
SET_DNS = Method(
    name="SetDns",
    summary="Change how names are resolved",
    arguments=_arguments(settings="a{sv}"),
    action=PolkitAction.CONFIGURE,
    is_guarded_from_others=True,
)
SUBSCRIBE = Method(
    name="Subscribe",
    summary="Send me signals and private properties; Stats each interval, with 0 no Stats",
    arguments=_arguments(interval_ms="u"),
)
"""Subscribers that are not the owner get nothing until they are."""
UNSUBSCRIBE = Method(name="Unsubscribe", summary="Send me no signals any more")
GET_EVENTS = Method(
    name="GetEvents",
    summary="Events after an id, the oldest first: id t, time_us t, kind s, path s, detail a{sv}",
    arguments=_arguments(since="t", max="u"),
    results=_arguments(events="aa{sv}"),
    action=PolkitAction.OTHERS,
    is_free_for_owner=True,
)
"""Each user sees the events of the own tunnels only, root those of all."""
COLLECT_DIAGNOSTICS = Method(
    name="CollectDiagnostics",
    summary="Read end of a pipe with a report as JSON, without secrets and addresses",
    results=_arguments(report="h"),
    action=PolkitAction.DIAGNOSE,
    is_guarded_from_others=True,
)
RECOVER = Method(
    name="Recover",
    summary="End the tunnel and remove every trace of it: nftables, rules, routes, link, DNS",
    action=PolkitAction.KILLSWITCH,
    is_guarded_from_others=True,
)

METHODS: tuple[Method, ...] = (
    CONNECT,
    DISCONNECT,
    PROVIDE_SECRETS,
    SET_PATH_POLICY,
    SET_KILL_SWITCH,
    ALLOW_PORTAL,
    SET_SPLIT,
    SET_DNS,
    SUBSCRIBE,
    UNSUBSCRIBE,
    GET_EVENTS,
    COLLECT_DIAGNOSTICS,
    RECOVER,
)
"""All methods of the interface."""

STATS = Signal(
    name="Stats",
    summary="Each interval of a subscriber that asked for it",
    arguments=_arguments(time_us="t", paths="a{sa{sv}}"),
)
EVENT = Signal(
    name="Event",
    summary="Something happened",
    arguments=_arguments(id="t", time_us="t", kind="s", path="s", detail="a{sv}"),
)
SECRETS_NEEDED = Signal(
    name="SecretsNeeded",
    summary="The secret of this profile is needed once more; answer with ProvideSecrets",
    arguments=_arguments(profile="s"),
)

SIGNALS: tuple[Signal, ...] = (STATS, EVENT, SECRETS_NEEDED)
"""All signals of the interface."""

VERSION = Property(name="Version", signature="s", summary="Version of mqvpn")
API = Property(name="ApiLevel", signature="u", summary="Level of this interface")
STATE = Property(name="State", signature="s", summary="State of the tunnel")
OWNER = Property(
    name="Owner", signature="u", summary="User ID whose tunnel it is; 4294967295: nobody's"
)
SINCE = Property(
    name="Since", signature="t", summary="When State became so, microseconds since 1970"
)
KILL_SWITCH = Property(
    name="KillSwitch", signature="s", summary="Kill switch in force: off, standard, always"
)
DNS_METHOD = Property(
    name="DnsMethod", signature="s", summary="How DNS was set; empty: it was not touched"
)
PORTAL_INTERFACE = Property(
    name="PortalInterface",
    signature="s",
    summary="Interface that is past the kill switch; or empty",
)
PORTAL_UNTIL = Property(
    name="PortalUntil", signature="t", summary="When that ends, microseconds since 1970; 0: never"
)
PROFILE = Property(
    name="Profile", signature="s", summary="Name of the profile in use", is_private=True
)
SERVER = Property(name="Server", signature="s", summary="The server, HOST:PORT", is_private=True)
TUN_NAME = Property(
    name="TunName", signature="s", summary="Name of the TUN device", is_private=True
)
ADDRESSES = Property(
    name="Addresses", signature="as", summary="Inner addresses with prefix", is_private=True
)
SPLIT = Property(
    name="Split",
    signature="a{sas}",
    summary="What goes beside the tunnel: the lists of the profile that are not empty",
    is_private=True,
)
PATHS = Property(
    name="Paths",
    signature="a{sa{sv}}",
    summary="Paths by interface; the numbers are those of the last change of a state",
    is_private=True,
)
LAST_ERROR = Property(
    name="LastError",
    signature="(ss)",
    summary="Name and text of the last error of the tunnel; both empty: none",
    is_private=True,
)

PROPERTIES: tuple[Property, ...] = (
    VERSION,
    API,
    STATE,
    OWNER,
    SINCE,
    KILL_SWITCH,
    DNS_METHOD,
    PORTAL_INTERFACE,
    PORTAL_UNTIL,
    PROFILE,
    SERVER,
    TUN_NAME,
    ADDRESSES,
    SPLIT,
    PATHS,
    LAST_ERROR,
)
"""All properties of the interface."""

HELPER = Interface(name=INTERFACE_NAME, methods=METHODS, signals=SIGNALS, properties=PROPERTIES)
"""The helper's own interface."""

INTROSPECT = Method(
    name="Introspect",
    summary="This description",
    results=_arguments(xml="s"),
)
PING = Method(name="Ping", summary="Answer")
GET_MACHINE_ID = Method(
    name="GetMachineId", summary="Identity of this machine", results=_arguments(id="s")
)
GET = Method(
    name="Get",
    summary="Value of a property",
    arguments=_arguments(interface="s", name="s"),
    results=_arguments(value="v"),
)
GET_ALL = Method(
    name="GetAll",
    summary="Values of all properties that the caller may see",
    arguments=_arguments(interface="s"),
    results=_arguments(values="a{sv}"),
)
SET = Method(
    name="Set",
    summary="Refused: all properties are read-only",
    arguments=_arguments(interface="s", name="s", value="v"),
)
PROPERTIES_CHANGED = Signal(
    name="PropertiesChanged",
    summary="Public changes to everybody, private ones to subscribers",
    arguments=_arguments(interface="s", changed="a{sv}", invalidated="as"),
)

INTERFACES: tuple[Interface, ...] = (
    HELPER,
    Interface(name=INTROSPECTABLE_INTERFACE, methods=(INTROSPECT,)),
    Interface(name=PEER_INTERFACE, methods=(PING, GET_MACHINE_ID)),
    Interface(
        name=PROPERTIES_INTERFACE, methods=(GET, GET_ALL, SET), signals=(PROPERTIES_CHANGED,)
    ),
)
"""Everything that the object understands."""

NO_OWNER = 0xFFFF_FFFF
"""Value of `Owner` while there is no tunnel."""

PATH_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "kind": "s",  # wired, wireless, cellular or other
        "state": "s",  # validating, active, suspect, abandoning
        "role": "s",  # primary, secondary, backup, never
        "rtt_ms": "d",
        "jitter_ms": "d",
        "loss": "d",  # 0 to 1
        "rx_bps": "t",  # bits a second
        "tx_bps": "t",
        "share": "d",  # 0 to 1
        "metered": "b",
        "mtu": "u",
        "used_bytes": "t",  # in this calendar month
        "cap_bytes": "t",  # a month; 0 for none
    }
)
"""What is told of a path, in `Paths` and in `Stats`, with D-Bus types."""
