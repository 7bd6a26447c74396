"""States of the helper as the tests of the window use them."""

from mqvpn_gui.model.helper_state import (
    HelperState,
    KillSwitch,
    LinkKind,
    PathInfo,
    PathState,
    Role,
)
from mqvpn_helper.interface.bus_names import TunnelState

WIFI = PathInfo(
    interface="wlan0",
    kind=LinkKind.WIRELESS,
    state=PathState.ACTIVE,
    role=Role.PRIMARY,
    rtt_ms=18.2,
    jitter_ms=2.1,
    loss=0.001,
    rx_bps=24_300_000,
    tx_bps=3_100_000,
    share=0.72,
    used_bytes=1_200_000_000,
)
LTE = PathInfo(
    interface="wwan0",
    kind=LinkKind.CELLULAR,
    state=PathState.ACTIVE,
    role=Role.BACKUP,
    rtt_ms=41.0,
    jitter_ms=9.0,
    loss=0.003,
    is_metered=True,
    used_bytes=1_000_000,
    cap_bytes=5_000_000_000,
)
CONNECTED = HelperState(
    is_present=True,
    version="0.1.0",
    api_level=1,
    state=TunnelState.UP,
    since=1_000.0,
    owner=1000,
    kill_switch=KillSwitch.STANDARD,
    dns_method="systemd-resolved",
    profile="Frankfurt",
    server="fra1.example:443",
    tun_name="mqvpn0",
    addresses=("10.0.0.2/32", "fd00::2/128"),
    paths=(WIFI, LTE),
)
OFF = HelperState(is_present=True, version="0.1.0", api_level=1)
