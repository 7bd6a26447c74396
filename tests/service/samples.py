"""Values that tests of the service share."""

from dataclasses import replace

from tests.session.samples import PATH

WLAN = replace(
    PATH,
    rtt_ms=18.0,
    jitter_ms=1.0,
    loss=0.0,
    rx_bps=1,
    tx_bps=2,
    share=1.0,
    mtu=1400,
    used_bytes=1 << 70,
)
"""A path as a core that has used it a lot reports it."""
