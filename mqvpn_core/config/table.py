"""The one table of all keys: name, range, default and one sentence each.

The loaders, the options of the command line, ``--help`` and docs/configuration.md all come from
here. A key has the same name in TOML and JSON and, with dashes, as an option; ``ini`` and ``json``
are its names in files of the C program of the same name, ``options`` further options.
"""

from collections.abc import Mapping

from mqvpn_core.config import (
    client_keys,
    common_keys,
    link_keys,
    protection_keys,
    server_keys,
)
from mqvpn_core.config.setting import Role, Setting

TABLE: tuple[Setting[object], ...] = (
    client_keys.SERVER_ADDRESS,
    server_keys.LISTEN,
    client_keys.SERVER_NAME,
    client_keys.CA_FILE,
    client_keys.PINS,
    client_keys.INSECURE,
    server_keys.CERT_FILE,
    server_keys.KEY_FILE,
    common_keys.AUTH_KEY,
    common_keys.AUTH_KEY_FILE,
    server_keys.USERS,
    server_keys.USERS_FILE,
    server_keys.MAX_AUTH_FAILURES,
    server_keys.AUTH_CHALLENGE,
    common_keys.TEMPLATE,
    client_keys.IPV4,
    client_keys.IPV6,
    client_keys.ROUTES,
    client_keys.MANAGE_ROUTES,
    server_keys.SUBNET,
    server_keys.SUBNET6,
    server_keys.LEASE_FILE,
    server_keys.ADVERTISE,
    server_keys.CLIENT_TO_CLIENT,
    server_keys.NAT,
    common_keys.DNS,
    protection_keys.KILL_SWITCH,
    protection_keys.ALLOW_LAN,
    protection_keys.SPLIT_EXCLUDE,
    protection_keys.SPLIT_INCLUDE,
    protection_keys.SPLIT_CGROUPS,
    common_keys.TUN_NAME,
    common_keys.MTU,
    link_keys.PATHS,
    link_keys.IGNORE_INTERFACES,
    link_keys.ROLES,
    link_keys.CAPS,
    link_keys.CAP_WARNING,
    link_keys.RATE_LIMITS,
    link_keys.USAGE_FILE,
    client_keys.RECONNECT,
    client_keys.RECONNECT_INTERVAL,
    client_keys.KEEP_ALIVE,
    common_keys.IDLE_TIMEOUT,
    common_keys.KEY_UPDATE_INTERVAL,
    common_keys.SCHEDULER,
    common_keys.CONGESTION_CONTROL,
    server_keys.MAX_CLIENTS,
    server_keys.MAX_CLIENTS_PER_USER,
    server_keys.MAX_HANDSHAKES,
    server_keys.WORKERS,
    server_keys.RETRY,
    server_keys.SITE,
    common_keys.CONTROL_SOCKET,
    common_keys.QLOG,
    common_keys.LOG_LEVEL,
    common_keys.CONTROL_LISTEN,
)
"""Every key, in the order of the documentation."""

BY_NAME: Mapping[str, Setting[object]] = {setting.name: setting for setting in TABLE}
"""The keys by name."""


def settings_of(role: Role) -> tuple[Setting[object], ...]:
    """Return the keys that ``role`` has."""
    return tuple(setting for setting in TABLE if role in setting.roles)
