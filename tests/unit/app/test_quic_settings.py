import pytest

from mqvpn_core.app.quic_settings import transport_config
from mqvpn_core.config import ClientConfig
from mqvpn_core.config.settings import QuicConfig
from mqvpn_core.config.values import CongestionControl, HostPort
from tests.unit.wire.packets import Rare, ipv4


def config(quic: QuicConfig | None = None) -> ClientConfig:
    return ClientConfig(server=HostPort(host="vpn.example"), quic=quic or QuicConfig())


@pytest.mark.parametrize("control", CongestionControl)
def test_congestion_control_goes_by_its_name(control: CongestionControl) -> None:
    transport = transport_config(config(QuicConfig(congestion_control=control)))
    assert transport.congestion_control == control.value


def test_queues_of_inner_flows_are_managed() -> None:
    transport = transport_config(config())
    assert transport.manages_datagram_queues
    assert transport.mark_datagram is not None
    marked = transport.mark_datagram(ipv4(rare=Rare(traffic_class=0b10)))
    assert marked == ipv4(rare=Rare(traffic_class=0b11))
