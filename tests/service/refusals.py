"""Calls that must fail."""

import pytest

from mqvpn_helper.interface.bus_names import BusError
from tests.service.fake_bus import CallFailedError, FakeCaller


async def refused(caller: FakeCaller, kind: BusError, member: str, *body: object) -> str:
    """Call a method that must fail in this way; return the text of the error."""
    with pytest.raises(CallFailedError) as failure:
        await caller.call(member, *body)
    assert failure.value.name == kind.bus_name
    return failure.value.text
