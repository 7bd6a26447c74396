"""From texts with their origin to a checked ClientConfig or ServerConfig.

Pure: secrets have been read and the salt has been drawn by the caller. Every refusal is a
ConfigError of one line that says where, which key, and what to write instead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from mqvpn_core.config import (
    client_keys,
    common_keys,
    link_keys,
    protection_keys,
    server_keys,
)
from mqvpn_core.config.secret_values import MIN_SERVER_KEY_LENGTH, HashedKey, Secret
from mqvpn_core.config.setting import Role, Setting
from mqvpn_core.config.settings import ClientConfig, QuicConfig, ServerConfig
from mqvpn_core.config.table import settings_of
from mqvpn_core.config.values import KillSwitchSetting
from mqvpn_core.errors import ConfigError

_T = TypeVar("_T")

_MIN_MTU_IPV6 = 1280  # RFC 8200 s5
_WORD_AUTO = "auto"
_WORD_OFF = "off"
_RUN_DIRECTORY = "/run/mqvpn"
_STATE_DIRECTORY = "/var/lib/mqvpn"
_OWN_ADDRESSES = 3  # network, server, broadcast
_HOW_TO_MAKE_A_KEY = "'mqvpn-core genkey' makes one"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSetting:
    """One key as a source gave it."""

    setting: Setting[object]
    """Which key."""
    texts: tuple[str, ...]
    """The value; several for a list."""
    origin: str
    """File and line, option or environment variable, for messages."""


def build_client(raw: Iterable[RawSetting]) -> tuple[ClientConfig, tuple[str, ...]]:
    """Return the client's configuration and warnings.

    Args:
        raw: keys of all sources, the weakest source first: of two with the same key the later
            counts.

    Raises:
        ConfigError: a value is not allowed, a key is missing, or two keys exclude each other.
    """
    values = _Values(raw, Role.CLIENT)
    config = ClientConfig(
        server=values.get(client_keys.SERVER_ADDRESS),
        server_name=values.get(client_keys.SERVER_NAME),
        ca_file=values.get(client_keys.CA_FILE),
        pins=values.get(client_keys.PINS),
        insecure=values.get(client_keys.INSECURE),
        auth_key=_client_key(values),
        template=values.get(common_keys.TEMPLATE),
        ipv4=values.get(client_keys.IPV4),
        ipv6=values.get(client_keys.IPV6),
        tun_name=values.get(common_keys.TUN_NAME),
        mtu=values.get(common_keys.MTU),
        manage_routes=values.get(client_keys.MANAGE_ROUTES),
        routes=values.get(client_keys.ROUTES),
        dns=values.get(common_keys.DNS),
        kill_switch=values.get(protection_keys.KILL_SWITCH),
        allow_lan=values.get(protection_keys.ALLOW_LAN),
        split_exclude=values.get(protection_keys.SPLIT_EXCLUDE),
        split_include=values.get(protection_keys.SPLIT_INCLUDE),
        split_cgroups=values.get(protection_keys.SPLIT_CGROUPS),
        reconnect=values.get(client_keys.RECONNECT),
        reconnect_interval=values.get(client_keys.RECONNECT_INTERVAL),
        paths=values.get(link_keys.PATHS),
        ignore_interfaces=values.get(link_keys.IGNORE_INTERFACES),
        roles=values.get(link_keys.ROLES),
        caps=values.get(link_keys.CAPS),
        cap_warning=values.get(link_keys.CAP_WARNING),
        rate_limits=values.get(link_keys.RATE_LIMITS),
        usage_file=_usage_file(values),
        quic=_quic(values, keep_alive=values.get(client_keys.KEEP_ALIVE)),
        control_socket=_control_socket(values),
        qlog=values.get(common_keys.QLOG),
        log_level=values.get(common_keys.LOG_LEVEL),
    )
    _check_client(config)
    return config, (*values.warnings(), *_client_warnings(config))


def build_server(raw: Iterable[RawSetting], *, salt: bytes) -> tuple[ServerConfig, tuple[str, ...]]:
    """Return the server's configuration and warnings.

    Args:
        raw: as for `build_client`.
        salt: 16 random bytes for the keys that are given in plain.

    Raises:
        ConfigError: as for `build_client`.
    """
    values = _Values(raw, Role.SERVER)
    if values.get(protection_keys.KILL_SWITCH) is not KillSwitchSetting.OFF:
        raise ConfigError(
            f"{values.origin(protection_keys.KILL_SWITCH)}: a server has no kill switch; leave the"
            " key out"
        )
    shared, users = _server_keys(values, salt)
    config = ServerConfig(
        cert_file=values.get(server_keys.CERT_FILE),
        key_file=values.get(server_keys.KEY_FILE),
        listen=values.get(server_keys.LISTEN),
        shared_key=shared,
        users=users,
        users_file=values.get(server_keys.USERS_FILE),
        max_auth_failures=values.get(server_keys.MAX_AUTH_FAILURES),
        auth_challenge=values.get(server_keys.AUTH_CHALLENGE),
        template=values.get(common_keys.TEMPLATE),
        subnet=values.get(server_keys.SUBNET),
        subnet6=values.get(server_keys.SUBNET6),
        lease_file=values.get(server_keys.LEASE_FILE),
        max_clients=values.get(server_keys.MAX_CLIENTS),
        max_clients_per_user=values.get(server_keys.MAX_CLIENTS_PER_USER),
        max_handshakes=values.get(server_keys.MAX_HANDSHAKES),
        workers=values.get(server_keys.WORKERS),
        retry=values.get(server_keys.RETRY),
        client_to_client=values.get(server_keys.CLIENT_TO_CLIENT),
        nat=values.get(server_keys.NAT),
        advertise=values.get(server_keys.ADVERTISE),
        site=values.get(server_keys.SITE),
        tun_name=values.get(common_keys.TUN_NAME),
        mtu=values.get(common_keys.MTU),
        dns=values.get(common_keys.DNS),
        quic=_quic(values, keep_alive=0.0),  # that is the client's part
        control_socket=_control_socket(values),
        qlog=values.get(common_keys.QLOG),
        log_level=values.get(common_keys.LOG_LEVEL),
    )
    _check_server(config)
    return config, (*values.warnings(), *_server_warnings(config))


class _Values:
    """The effective texts of one role, parsed on demand."""

    def __init__(self, raw: Iterable[RawSetting], role: Role) -> None:
        self._role = role
        self._raw: dict[str, RawSetting] = {}
        for item in raw:
            if role not in item.setting.roles:
                raise ConfigError(
                    f"{item.origin}: {item.setting.name} has no meaning for a {role.value}"
                )
            self._raw[item.setting.name] = item
        for setting in settings_of(role):  # also those that no field of the result holds
            self.get(setting)

    def get(self, setting: Setting[_T]) -> _T:
        raw = self._raw.get(setting.name)
        if raw is None:
            if setting.default is None:
                raise ConfigError(
                    f"a {self._role.value} needs {setting.name} ({setting.allowed}): write it into"
                    f" the configuration file, or give {setting.option} {setting.placeholder}"
                )
            return setting.parse(setting.default)
        try:
            return setting.parse(raw.texts)
        except ConfigError as error:
            raise ConfigError(f"{raw.origin}: {setting.name}: {error}") from None

    def origin(self, setting: Setting[object]) -> str:
        raw = self._raw.get(setting.name)
        return setting.name if raw is None else f"{raw.origin}: {setting.name}"

    def warnings(self) -> list[str]:
        return [
            f"{raw.origin}: {advice}"
            for raw in self._raw.values()
            if (advice := raw.setting.advise(raw.texts)) is not None
        ]


def _quic(values: _Values, *, keep_alive: float) -> QuicConfig:
    return QuicConfig(
        keep_alive=keep_alive,
        idle_timeout=values.get(common_keys.IDLE_TIMEOUT),
        key_update_interval=values.get(common_keys.KEY_UPDATE_INTERVAL),
        scheduler=values.get(common_keys.SCHEDULER),
        congestion_control=values.get(common_keys.CONGESTION_CONTROL),
    )


def _control_socket(values: _Values) -> Path | None:
    text = values.get(common_keys.CONTROL_SOCKET)
    if text.lower() == _WORD_OFF:
        return None
    if text.lower() == _WORD_AUTO:
        return default_control_socket(values.get(common_keys.TUN_NAME))
    return Path(text)


def _usage_file(values: _Values) -> Path | None:
    text = values.get(link_keys.USAGE_FILE)
    if text.lower() == _WORD_OFF:
        return None
    if text.lower() == _WORD_AUTO:
        return Path(_STATE_DIRECTORY, f"usage-{values.get(common_keys.TUN_NAME)}.json")
    return Path(text)


def default_control_socket(tun_name: str) -> Path:
    """Return where the status of the tunnel on ``tun_name`` is served unless told otherwise."""
    return Path(_RUN_DIRECTORY, f"{tun_name}.sock")


def _client_key(values: _Values) -> Secret | None:
    key = values.get(common_keys.AUTH_KEY)
    if isinstance(key, HashedKey):
        raise ConfigError(
            f"{values.origin(common_keys.AUTH_KEY)}: this is the hash that a server keeps; a"
            " client needs the key itself"
        )
    return key


def _server_keys(values: _Values, salt: bytes) -> tuple[HashedKey | None, Mapping[str, HashedKey]]:
    origin = values.origin(server_keys.USERS)
    given = values.get(common_keys.AUTH_KEY)
    owners: dict[Secret, str] = {}
    shared: HashedKey | None = None
    if given is not None:
        shared = _hashed(given, salt, values.origin(common_keys.AUTH_KEY))
        if isinstance(given, Secret):
            owners[given] = "auth_key"
    users: dict[str, HashedKey] = {}
    for name, key in values.get(server_keys.USERS):
        if name in users:
            raise ConfigError(f"{origin}: there are two users {name}")
        users[name] = _hashed(key, salt, f"{origin}: {name}")
        if isinstance(key, Secret):
            if key in owners:
                raise ConfigError(
                    f"{origin}: {name} has the same key as {owners[key]}; give each its own:"
                    f" {_HOW_TO_MAKE_A_KEY}"
                )
            owners[key] = name
    if shared is None and not users and values.get(server_keys.USERS_FILE) is None:
        raise ConfigError(
            "a server needs auth_key, users or users_file, or anybody could use it;"
            f" {_HOW_TO_MAKE_A_KEY}, --auth-key-file FILE or --user NAME:KEY passes it"
        )
    return shared, MappingProxyType(users)


def _hashed(key: Secret | HashedKey, salt: bytes, origin: str) -> HashedKey:
    if isinstance(key, HashedKey):
        return key
    if len(key.reveal()) < MIN_SERVER_KEY_LENGTH:
        raise ConfigError(
            f"{origin}: the key has fewer than {MIN_SERVER_KEY_LENGTH} characters and could be"
            f" guessed; {_HOW_TO_MAKE_A_KEY} that cannot"
        )
    return HashedKey.from_key(key, salt)


def _check_client(config: ClientConfig) -> None:
    if not (config.ipv4 or config.ipv6):
        raise ConfigError("ipv4 and ipv6 are both false: nothing could pass; set one to true")
    if config.pins and config.insecure:
        raise ConfigError("pins and insecure exclude each other: leave insecure out")
    quic = config.quic
    if quic.keep_alive >= quic.idle_timeout:
        raise ConfigError(
            f"keep_alive ({quic.keep_alive:g}) must be less than idle_timeout"
            f" ({quic.idle_timeout:g}): half of it or less is usual"
        )
    if config.mtu is not None and config.mtu < _MIN_MTU_IPV6 and config.ipv6:
        raise ConfigError(
            f"mtu {config.mtu} is too small for IPv6, which needs {_MIN_MTU_IPV6}: raise it, or set"
            " ipv6 = false"
        )
    _check_split(config)


def _check_split(config: ClientConfig) -> None:
    has_switch = config.kill_switch is not KillSwitchSetting.OFF
    if has_switch and config.split_include:
        raise ConfigError(
            "split_include and kill_switch exclude each other: one leaves everything else outside"
            " the tunnel, the other blocks it; split_exclude goes together with a kill switch"
        )
    is_split = config.split_include or config.split_exclude or config.split_cgroups
    if is_split and not config.manage_routes:
        raise ConfigError("a split tunnel needs routes: leave manage_routes = false out")


def _client_warnings(config: ClientConfig) -> Sequence[str]:
    warnings: list[str] = []
    if config.kill_switch is not KillSwitchSetting.OFF and not config.dns:
        warnings.append(
            "kill_switch without dns: name servers of the local network are blocked, and others"
            " are asked through the tunnel; name servers for the tunnel are set by dns"
        )
    if config.allow_lan and config.kill_switch is KillSwitchSetting.OFF:
        warnings.append("allow_lan has no effect without kill_switch")
    if config.insecure:
        warnings.append(
            "INSECURE: the server's certificate is not checked; anyone on the way can read and"
            " change everything. Use pins instead ('mqvpn-core gencert' prints the pin)"
        )
    if config.auth_key is None:
        warnings.append("no auth_key is set; a server that wants one will refuse")
    elif len(config.auth_key.reveal()) < MIN_SERVER_KEY_LENGTH:
        warnings.append(
            f"the auth_key has fewer than {MIN_SERVER_KEY_LENGTH} characters and could be guessed"
        )
    return warnings


def _check_server(config: ServerConfig) -> None:
    if config.mtu is not None and config.mtu < _MIN_MTU_IPV6 and config.subnet6 is not None:
        raise ConfigError(
            f"mtu {config.mtu} is too small for IPv6, which needs {_MIN_MTU_IPV6}: raise it, or"
            " leave subnet6 out"
        )
    for network in config.advertise:
        if network.version == 6 and config.subnet6 is None:  # noqa: PLR2004 - IP version
            raise ConfigError(f"advertise has {network}, but without subnet6 there is no IPv6")


def _server_warnings(config: ServerConfig) -> Sequence[str]:
    room = config.subnet.num_addresses - _OWN_ADDRESSES
    if config.subnet6 is not None:
        room = min(room, config.subnet6.num_addresses - _OWN_ADDRESSES)
    if room < config.max_clients:
        return (f"the address pools have room for {room} clients, max_clients is more",)
    return ()
