"""What cores do in these tests, and when their user has had enough."""

from dataclasses import replace

import trio

from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.control_messages import (
    Done,
    EventReport,
    FailureReport,
    LeaveNetwork,
    PathsReport,
    StateReport,
)
from tests.session.samples import NETWORK as NAMED_NETWORK
from tests.session.samples import PATH
from tests.session.stage import PlayedCore, Stage, until_told_to_leave

NETWORK = replace(NAMED_NETWORK, excluded=(), included=())
CREDENTIALS = FailureReport(kind=BusError.CREDENTIALS, text="the key is not accepted")


async def disconnect_soon(stage: Stage) -> None:
    await trio.sleep(5)
    stage.session.disconnect()


async def whole_tunnel(core: PlayedCore) -> None:
    await core.greet()
    await core.send(StateReport(state=TunnelState.CONNECTING))
    assert await core.ask(NETWORK) == Done(id=NETWORK.id)
    await core.send(StateReport(state=TunnelState.UP, reason="connected"))
    await core.send(PathsReport(paths=(PATH,), is_periodic=False))
    await core.send(EventReport(kind=BusEventKind.PATH_UP, path="wlan0", detail={"text": "works"}))
    await until_told_to_leave(core)
    await core.ask(LeaveNetwork(id=9))


async def dies_at_once(core: PlayedCore) -> None:
    await core.greet()
