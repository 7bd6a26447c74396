"""What the helper's D-Bus interface is called: names, polkit actions, errors and the words it uses.

Each of them is written down here and nowhere else; files under ``resources/`` are compared with
them by a test. The methods, signals and properties are in `mqvpn_helper.interface.bus_interface`.
"""

import enum

BUS_NAME = "org.mqvpn.Helper1"
"""Well-known name on the system bus."""
INTERFACE_NAME = BUS_NAME
"""The helper's own interface."""
OBJECT_PATH = "/org/mqvpn/Helper1"
"""The one object."""
API_LEVEL = 1
"""Grows with every addition to the table."""
ERROR_PREFIX = "org.mqvpn.Error."
"""In front of the name of a typed error."""

PEER_INTERFACE = "org.freedesktop.DBus.Peer"
"""Standard interface: `Ping`, `GetMachineId`."""
PROPERTIES_INTERFACE = "org.freedesktop.DBus.Properties"
"""Standard interface: `Get`, `GetAll`, `Set`, signal `PropertiesChanged`."""
INTROSPECTABLE_INTERFACE = "org.freedesktop.DBus.Introspectable"
"""Standard interface: `Introspect`."""

MAX_EVENTS = 1000
"""Events kept, and so the most that one `GetEvents` returns."""
MIN_STATS_INTERVAL_MS = 100
"""Shorter wishes of `Subscribe` are lengthened to this."""
MAX_STATS_INTERVAL_MS = 60_000
"""Longer wishes of `Subscribe` are shortened to this."""
MAX_PORTAL_SECONDS = 900
"""Longest exception for a captive portal."""


class PolkitAction(enum.Enum):
    """What polkit decides about; the policy file has the defaults."""

    CONNECT = "org.mqvpn.connect"
    """Turn the own tunnel on and off."""
    KILLSWITCH = "org.mqvpn.killswitch"
    """Change the kill switch."""
    CONFIGURE = "org.mqvpn.configure"
    """Change split tunnelling and DNS."""
    DIAGNOSE = "org.mqvpn.diagnose"
    """Read a redacted report about this machine."""
    OTHERS = "org.mqvpn.others"
    """See and control the tunnel of another user."""


class BusError(enum.Enum):
    """Typed errors; on the bus with `ERROR_PREFIX` in front, in `LastError` without."""

    NOT_AUTHORIZED = "NotAuthorized"
    """polkit said no, or would have to ask and may not."""
    BAD_PROFILE = "BadProfile"
    """The profile of `Connect` is not valid; the text names the key."""
    BAD_ARGUMENTS = "BadArguments"
    """An argument has the wrong type or value."""
    BUSY = "Busy"
    """A tunnel is up already, or is being taken down."""
    NOT_CONNECTED = "NotConnected"
    """There is no tunnel to do this to."""
    TOO_MANY_REQUESTS = "TooManyRequests"
    """This caller asks too often, or holds too much."""
    NO_TUN = "NoTun"
    """The kernel gives no TUN device."""
    RESOLVER = "Resolver"
    """The server's name could not be resolved, or DNS could not be set."""
    UNREACHABLE = "Unreachable"
    """Nobody answers at the server's addresses."""
    CERTIFICATE = "Certificate"
    """The server's certificate, or its pin, is not the expected one."""
    CREDENTIALS = "Credentials"
    """The server does not accept the secret."""
    REFUSED = "Refused"
    """The server does not want this tunnel."""
    CORE_DIED = "CoreDied"
    """The network process ended by itself."""
    HOST = "Host"
    """The machine refused a change: routes, nftables, DNS."""
    UNSUPPORTED = "Unsupported"
    """This machine or this version cannot do that."""
    FAILED = "Failed"
    """Anything else; the log of the helper has more."""

    @property
    def bus_name(self) -> str:
        """The error's name in a D-Bus message."""
        return ERROR_PREFIX + self.value


class TunnelState(enum.Enum):
    """Values of the property `State`."""

    OFF = "off"
    """No tunnel, and nobody wants one."""
    CONNECTING = "connecting"
    """First attempts."""
    UP = "up"
    """Packets flow, on every path that should carry them."""
    DEGRADED = "degraded"
    """Packets flow, but a path that should carry them does not."""
    RECONNECTING = "reconnecting"
    """The connection is lost and is being made anew; addresses and routes stay."""
    BLOCKED = "blocked"
    """No tunnel, and the kill switch lets nothing out."""
    ERROR = "error"
    """Given up; `LastError` says why."""


class BusEventKind(enum.Enum):
    """Values of ``kind`` in `Event` and `GetEvents`."""

    CONNECTED = "connected"
    """The tunnel is up; ``gap_ms`` after a reconnection."""
    DISCONNECTED = "disconnected"
    """The tunnel is gone; ``reason``."""
    RECONNECTING = "reconnecting"
    """The connection is lost; ``reason``."""
    LINK_ADDED = "link-added"
    """A network interface came."""
    LINK_REMOVED = "link-removed"
    """A network interface went."""
    PATH_ADDED = "path-added"
    """A path was opened over an interface; nobody answered yet."""
    PATH_UP = "path-up"
    """A path works."""
    PATH_DOWN = "path-down"
    """A path is silent or gone; ``reason``."""
    PATH_MOVED = "path-moved"
    """A path has another address."""
    RECOVERED = "recovered"
    """A silent path works again; ``silent_ms``."""
    FAILOVER = "failover"
    """Traffic goes on over another path; ``to_interface``, ``gap_ms``, ``reason``."""
    ROLE_CHANGED = "role-changed"
    """A path is used for something else; ``role``."""
    KILLSWITCH = "killswitch"
    """The kill switch changed; ``mode``."""
    PORTAL = "portal"
    """The exception for a captive portal began or ended; ``until``."""
    DNS = "dns"
    """DNS settings changed; ``method``."""
    SPLIT = "split"
    """Split tunnelling changed."""
    AUTH_FAILED = "auth-failed"
    """The server does not accept the secret."""
    SERVER_CHANGED = "server-changed"
    """Another address of the server is used."""
    CORE_DIED = "core-died"
    """The network process ended by itself and is started again."""
    SUSPENDED = "suspended"
    """The machine goes to sleep."""
    RESUMED = "resumed"
    """The machine is awake again."""
    OTHER = "other"
    """Anything else; ``text``."""
