"""Settings of both roles as frozen, checked values; reads no file (that is `mqvpn_core.app`)."""

from mqvpn_core.config.secret_values import HashedKey, Secret
from mqvpn_core.config.settings import ClientConfig, QuicConfig, ServerConfig
from mqvpn_core.config.values import (
    AUTO_PATHS,
    DEFAULT_IGNORED_LINKS,
    DEFAULT_PORT,
    DEFAULT_TEMPLATE,
    CongestionControl,
    HostPort,
    IPAddress,
    IPNetwork,
    KillSwitchSetting,
    LinkRole,
    LogLevel,
    Pin,
    RetryMode,
    RoutesMode,
    Scheduler,
)

__all__ = [
    "AUTO_PATHS",
    "DEFAULT_IGNORED_LINKS",
    "DEFAULT_PORT",
    "DEFAULT_TEMPLATE",
    "ClientConfig",
    "CongestionControl",
    "HashedKey",
    "HostPort",
    "IPAddress",
    "IPNetwork",
    "KillSwitchSetting",
    "LinkRole",
    "LogLevel",
    "Pin",
    "QuicConfig",
    "RetryMode",
    "RoutesMode",
    "Scheduler",
    "Secret",
    "ServerConfig",
]
