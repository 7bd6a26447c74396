"""Keys that both roles have."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mqvpn_core.config import parsing
from mqvpn_core.config.secret_values import HashedKey, Secret
from mqvpn_core.config.setting import BOTH, Form, Group, Setting, last
from mqvpn_core.config.values import (
    DEFAULT_TEMPLATE,
    CongestionControl,
    IPAddress,
    LogLevel,
    Scheduler,
)

# The other program's names, and what comes closest.
_OTHER_SCHEDULERS: Mapping[str, Scheduler] = {
    "wlb": Scheduler.WEIGHTED,
    "wlb_udp_pin": Scheduler.WEIGHTED,
    "backup_fec": Scheduler.BACKUP,
    "rap": Scheduler.REDUNDANT,
}
_SAME_CONGESTION_CONTROLS: Mapping[str, CongestionControl] = {
    "bbr2": CongestionControl.BBR,
    "reno": CongestionControl.NEWRENO,
}
_OTHER_CONGESTION_CONTROLS: Mapping[str, CongestionControl] = {
    "copa": CongestionControl.BBR,
    "none": CongestionControl.BBR,
}
_LEVEL_NAMES: Mapping[str, str] = {"warn": "warning"}


def _scheduler(text: str) -> Scheduler:
    other = _OTHER_SCHEDULERS.get(text.lower())
    return other if other is not None else parsing.choice(Scheduler)(text)


def _advise_scheduler(texts: Sequence[str]) -> str | None:
    other = _OTHER_SCHEDULERS.get(texts[-1].lower())
    return f"scheduler {texts[-1]} is not ours; {other.value} is used" if other else None


def _congestion_control(text: str) -> CongestionControl:
    name = text.lower()
    other = _SAME_CONGESTION_CONTROLS.get(name) or _OTHER_CONGESTION_CONTROLS.get(name)
    if other is not None:
        return other
    return parsing.choice(CongestionControl)(text)


def _advise_congestion_control(texts: Sequence[str]) -> str | None:
    other = _OTHER_CONGESTION_CONTROLS.get(texts[-1].lower())
    return f"congestion control {texts[-1]} is not ours; {other.value} is used" if other else None


def _log_level(text: str) -> LogLevel:
    return parsing.choice(LogLevel)(_LEVEL_NAMES.get(text.lower(), text))


def _control_listen(text: str) -> str:
    return text


def _advise_control_listen(texts: Sequence[str]) -> str | None:
    if not texts[-1]:
        return None
    return "there is no control interface over TCP; see control_socket and 'mqvpn-core status'"


AUTH_KEY: Setting[Secret | HashedKey | None] = Setting(
    name="auth_key",
    roles=BOTH,
    group=Group.ACCESS,
    form=Form.TEXT,
    allowed="visible ASCII characters, for a server at least 16; a server also takes a hash"
    " sha256:SALT:DIGEST; empty: none",
    default=("",),
    doc="Client: the key to show to the server; server: a key that any client may use.",
    parse=last(parsing.optional(parsing.key_or_hash)),
    placeholder="KEY",
    ini="Auth.Key",
    is_secret=True,
)
AUTH_KEY_FILE: Setting[str] = Setting(
    name="auth_key_file",
    roles=BOTH,
    group=Group.ACCESS,
    form=Form.TEXT,
    allowed="a file name, or fd:N for an inherited descriptor; empty: none",
    default=("",),
    doc="Where to read auth_key from, so that it stands neither in this file nor on the command"
    " line; the environment variable MQVPN_AUTH_KEY is a third way.",
    parse=last(str),
    placeholder="FILE",
    is_file=True,
)
TEMPLATE: Setting[str] = Setting(
    name="template",
    roles=BOTH,
    group=Group.ACCESS,
    form=Form.TEXT,
    allowed="a path with {target} and {ipproto}, each optional (RFC 9484 section 3)",
    default=(DEFAULT_TEMPLATE,),
    doc="Path of the URI template under which the server offers tunnels.",
    parse=last(parsing.template),
    placeholder="PATH",
)
DNS: Setting[tuple[IPAddress, ...]] = Setting(
    name="dns",
    roles=BOTH,
    group=Group.ADDRESSES,
    form=Form.LIST,
    allowed="IP addresses",
    default=(),
    doc="Client: name servers that answer every name while the tunnel is up, told to"
    " systemd-resolved, resolvconf, NetworkManager or /etc/resolv.conf; server: has no effect.",
    parse=parsing.sequence(parsing.address),
    placeholder="ADDRESS",
    ini="Interface.DNS",
)
TUN_NAME: Setting[str] = Setting(
    name="tun_name",
    roles=BOTH,
    group=Group.DEVICE,
    form=Form.TEXT,
    allowed="1 to 15 visible ASCII characters without / : %",
    default=("mqvpn0",),
    doc="Name of the TUN device.",
    parse=last(parsing.link_name),
    placeholder="NAME",
    ini="Interface.TunName",
)
MTU: Setting[int | None] = Setting(
    name="mtu",
    roles=BOTH,
    group=Group.DEVICE,
    form=Form.NUMBER,
    allowed="auto, or 576 to 65535; at least 1280 with IPv6",
    default=("auto",),
    doc="Largest MTU of the tunnel; auto follows what the network carries.",
    parse=last(parsing.optional(parsing.integer(576, 65535), "auto")),
    placeholder="BYTES",
    ini="Interface.MTU",
)
IDLE_TIMEOUT: Setting[float] = Setting(
    name="idle_timeout",
    roles=BOTH,
    group=Group.CONNECTION,
    form=Form.NUMBER,
    allowed="5 to 600 seconds",
    default=("30",),
    doc="Silence after which the connection counts as lost; the smaller value of both sides holds.",
    parse=last(parsing.seconds(5, 600)),
    placeholder="SECONDS",
)
KEY_UPDATE_INTERVAL: Setting[float] = Setting(
    name="key_update_interval",
    roles=BOTH,
    group=Group.CONNECTION,
    form=Form.NUMBER,
    allowed="2 to 86400 seconds, or 0: only when the cipher's limits demand it",
    default=("3600",),
    doc="Time between changes of the connection's encryption keys.",
    parse=last(parsing.seconds(2, 86400, zero=True)),
    placeholder="SECONDS",
)
SCHEDULER: Setting[Scheduler] = Setting(
    name="scheduler",
    roles=BOTH,
    group=Group.CONNECTION,
    form=Form.TEXT,
    allowed="weighted, minrtt, redundant or backup; wlb, rap and the like with a warning",
    default=("weighted",),
    doc="How packets are spread over paths: flows pinned by rate, fastest path first, urgent"
    " packets twice, or one path at a time.",
    parse=last(_scheduler),
    placeholder="NAME",
    ini="Multipath.Scheduler",
    advise=_advise_scheduler,
)
CONGESTION_CONTROL: Setting[CongestionControl] = Setting(
    name="congestion_control",
    roles=BOTH,
    group=Group.CONNECTION,
    form=Form.TEXT,
    allowed="bbr (or bbr2), cubic or newreno (or reno); copa and none with a warning",
    default=("cubic",),
    doc="How fast a path sends: at the rate it delivers whatever is lost at random, with short"
    " queues, or by losses alone.",
    parse=last(_congestion_control),
    placeholder="NAME",
    options=("--cc",),
    ini="Multipath.CC",
    json="cc",
    advise=_advise_congestion_control,
)
CONTROL_SOCKET: Setting[str] = Setting(
    name="control_socket",
    roles=BOTH,
    group=Group.OPERATION,
    form=Form.TEXT,
    allowed="a file name, off, or auto: /run/mqvpn/TUN_NAME.sock",
    default=("auto",),
    doc="Socket that answers 'mqvpn-core status' and 'mqvpn-core events'.",
    parse=last(lambda text: str(parsing.path(text))),
    placeholder="FILE",
    is_file=True,
)
QLOG: Setting[Path | None] = Setting(
    name="qlog",
    roles=BOTH,
    group=Group.OPERATION,
    form=Form.TEXT,
    allowed="a directory; empty: none",
    default=("",),
    doc="Where to write a trace of every packet of each connection, for a qlog viewer; slow, and"
    " large: for fault-finding. The files tell who talks to whom when, but not what.",
    parse=last(parsing.optional(parsing.path)),
    placeholder="DIR",
    is_file=True,
)
LOG_LEVEL: Setting[LogLevel] = Setting(
    name="log_level",
    roles=BOTH,
    group=Group.OPERATION,
    form=Form.TEXT,
    allowed="error, warning, info or debug",
    default=("info",),
    doc="How much is logged.",
    parse=last(_log_level),
    placeholder="LEVEL",
    ini="Interface.LogLevel",
)
CONTROL_LISTEN: Setting[str] = Setting(
    name="control_listen",
    roles=BOTH,
    group=Group.OPERATION,
    form=Form.TEXT,
    allowed="anything; accepted with a warning",
    default=("",),
    doc="TCP control interface of the C program, which does not exist here.",
    parse=last(_control_listen),
    placeholder="ADDRESS:PORT",
    ini="Control.Listen",
    advise=_advise_control_listen,
)
