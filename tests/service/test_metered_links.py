"""Links that cost money: as the core sees them, and as NetworkManager knows them."""

from dataclasses import replace

import trio

from mqvpn_helper.session.events import PathStats
from tests.service.fake_bus import FakeCaller
from tests.service.samples import WLAN
from tests.service.scene import helper_on_bus, run

_LTE = replace(WLAN, interface="lte0", metered=True)


async def _metered(caller: FakeCaller) -> dict[str, object]:
    await trio.sleep(1)
    paths = (await caller.properties())["Paths"]
    assert isinstance(paths, dict)
    return {name: fields["metered"][1] for name, fields in paths.items()}


def test_what_network_manager_knows_is_shown_and_followed() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.metered = {"wlan0": 3, "lte0": 2}
            session = await scene.connect(scene.alice)
            await scene.alice.call("Subscribe", 1000)
            session.emit(PathStats(paths=(WLAN, _LTE), is_periodic=False))
            # A mobile network is one, whatever anybody guesses.
            assert await _metered(scene.alice) == {"wlan0": True, "lte0": True}
            session.emit(PathStats(paths=(WLAN,), is_periodic=True))
            _, paths = await scene.alice.next_signal("Stats")
            assert isinstance(paths, dict)
            assert paths["wlan0"]["metered"] == ("b", True)
            scene.bus.metered = {"wlan0": 4}
            await trio.sleep(60)
            assert await _metered(scene.alice) == {"wlan0": False, "lte0": True}

    run(main)


def test_without_network_manager_the_core_knows_best() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            session = await scene.connect(scene.alice)
            session.emit(PathStats(paths=(WLAN, _LTE), is_periodic=False))
            assert await _metered(scene.alice) == {"wlan0": False, "lte0": True}

    run(main)
