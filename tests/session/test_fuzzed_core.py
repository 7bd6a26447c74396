"""A core whose bytes are made up: whatever it sends, the machine stays within the profile."""

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from mqvpn_helper.interface.core_coding import encode_core_message
from mqvpn_helper.interface.host_plan import HostPlan, KillSwitchMode
from tests.session.samples import CORE_MESSAGES, GATEWAY, LAN
from tests.session.stage import CORE_UID, PlayedCore, Stage, perform

pytestmark = pytest.mark.slow

_PACKETS = [encode_core_message(message) for message in CORE_MESSAGES]
_VALUES = [b"1", b"-1", b"true", b"null", b'"eth0"', b'"0.0.0.0/0"', b'"../../etc"', b"[]", b"1e9"]


@st.composite
def hostile_packets(draw: st.DrawFn) -> bytes:
    """A packet that was right before something happened to it."""
    packet = bytearray(draw(st.sampled_from(_PACKETS)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(packet)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            packet[place:place] = draw(st.binary(max_size=4))
        elif kind == 1:
            del packet[place : place + draw(st.integers(1, 20))]
        elif kind == 2:
            packet[place : place + draw(st.integers(0, 8))] = draw(st.sampled_from(_VALUES))
        else:
            packet += draw(st.sampled_from(_PACKETS))
    return bytes(packet)


def _check(plan: HostPlan) -> None:
    assert plan.tun_name == "mqvpn0"
    assert not any((plan.forward_ipv4, plan.forward_ipv6, plan.nat_sources))
    assert plan.kill_switch is not None
    assert plan.kill_switch.mode is KillSwitchMode.STANDARD
    assert plan.kill_switch.core_uid == CORE_UID
    assert {str(each.address) for each in plan.kill_switch.servers} <= {"203.0.113.2"}
    assert not plan.kill_switch.name_servers
    assert plan.kill_switch.portal is None
    assert {str(each) for each in plan.dns} <= {"10.0.0.53"}
    assert {str(each) for each in plan.routes} <= {"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"}
    assert plan.split is None
    assert set(plan.links) <= {"wlan0"}
    for address in plan.addresses:
        assert str(address).startswith("10.0.0.")
        assert str(address.ip) not in (GATEWAY, LAN)


@settings(max_examples=60, deadline=None)
@given(packets=st.lists(hostile_packets(), min_size=1, max_size=12))
def test_whatever_a_core_sends_stays_within_the_profile(packets: list[bytes]) -> None:
    async def babble(core: PlayedCore) -> None:
        await core.greet()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(core.wait_end)
            for packet in packets:
                try:
                    await core.socket.send(packet)
                except OSError:
                    break  # the helper has had enough
                await trio.sleep(0.3)
            nursery.cancel_scope.cancel()

    async def disconnect(stage: Stage) -> None:
        await trio.sleep(30)
        stage.session.disconnect()

    stage = perform(
        babble,
        meanwhile=disconnect,
        kill_switch="standard",
        dns=["10.0.0.53"],
        inner_networks=["10.0.0.0/24"],
    )
    for plan in stage.host.plans:
        _check(plan)
    assert stage.host.undone == [False]
    assert stage.end.error is None
