"""A status of each role."""

from mqvpn_core.runtime.status_values import ClientStatus, PathStatus, Status

PATH = PathStatus(
    id=0,
    interface="wlan0",
    local="192.0.2.7:50000",
    remote="203.0.113.1:443",
    state="active",
    srtt_ms=18.25,
    min_rtt_ms=17.0,
    loss=0.0125,
    congestion_window=123_456,
    tx_bytes=1_000,
    rx_bytes=5_000_000_000,
    tx_packets=10,
    rx_packets=4_000_000,
    mtu=1400,
)
CLIENT = Status(
    role="client",
    state="connected",
    seconds_in_state=3725.0,
    version="0.1.0",
    pid=4711,
    kernel="reference",
    tun_name="mqvpn0",
    mtu=1340,
    server="vpn.example.org:443",
    addresses=("10.0.0.2/32", "fd00::2/128"),
    paths=(PATH,),
    counters={"dropped: too big": 3, "dropped: spoofed": 0},
)
SERVER = Status(
    role="server",
    state="listening",
    seconds_in_state=61.0,
    version="0.1.0",
    pid=4712,
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
        ),
    ),
)
