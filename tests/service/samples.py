"""Values that tests of the service share."""

from mqvpn_helper.interface.control_messages import LinkKind, PathReport, PathState, PathUse

WLAN = PathReport(
    interface="wlan0",
    kind=LinkKind.WIRELESS,
    state=PathState.ACTIVE,
    role=PathUse.PRIMARY,
    rtt_ms=18.0,
    jitter_ms=1.0,
    loss=0.0,
    rx_bps=1,
    tx_bps=2,
    share=1.0,
    metered=False,
    mtu=1400,
    used_bytes=1 << 70,
    cap_bytes=5_000_000_000,
)
