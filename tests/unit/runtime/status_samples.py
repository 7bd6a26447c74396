"""A status of each role."""

from dataclasses import replace

from mqvpn_core.runtime.status_values import ClientStatus, PathStatus, Status, WorkerStatus

PATH = PathStatus(
    id=0,
    interface="wlan0",
    local="192.0.2.7:50000",
    remote="203.0.113.1:443",
    state="active",
    srtt_ms=18.25,
    min_rtt_ms=17.0,
    jitter_ms=1.5,
    loss=0.0125,
    loss_total=0.002,
    congestion_window=123_456,
    bytes_in_flight=2_400,
    cc="bbr",
    cc_state="cruise",
    capacity=2_500_000.0,
    pacing_rate=2_475_000.0,
    tx_rate=125_000.0,
    rx_rate=1_250_000.0,
    share=0.75,
    tx_bytes=1_000,
    rx_bytes=5_000_000_000,
    tx_packets=10,
    rx_packets=4_000_000,
    lost_packets=1,
    seconds_silent=0.25,
    mtu=1400,
)
OTHER_PATH = replace(
    PATH, id=1, interface="wwan0", use="backup", tx_rate=0.0, rx_rate=0.0, share=0.0
)
CLIENT = Status(
    role="client",
    state="connected",
    seconds_in_state=3725.0,
    version="0.1.0",
    pid=4711,
    scheduler="redundant",
    kernel="reference",
    kernel_reason="the native kernel is not built",
    tun_name="mqvpn0",
    mtu=1340,
    server="vpn.example.org:443",
    addresses=("10.0.0.2/32", "fd00::2/128"),
    taken_at=1.7e9,
    kill_switch="standard",
    portal="wlan0",
    portal_seconds=100.0,
    dns_method="systemd-resolved",
    paths=(PATH, OTHER_PATH),
    counters={"dropped: too big": 3, "dropped: spoofed": 0},
)
SERVER = Status(
    role="server",
    state="listening",
    seconds_in_state=61.0,
    version="0.1.0",
    pid=4712,
    scheduler="weighted",
    kernel="reference",
    tun_name="mqvpn1",
    mtu=0,
    server="[::]:443",
    client_count=1,
    clients=(
        ClientStatus(
            user="",
            remote="198.51.100.2:40000",
            addresses=("10.0.0.2",),
            seconds_connected=5.0,
            srtt_ms=20.0,
            tx_bytes=0,
            rx_bytes=2048,
            rx_rate=2_000.0,
            paths=(replace(PATH, interface=""),),
        ),
    ),
    workers=(
        WorkerStatus(number=0, pid=4713, state="running", client_count=1),
        WorkerStatus(number=1, pid=0, state="waiting", restarts=2),
    ),
)
