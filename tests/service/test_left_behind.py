"""Kill switches that are in force without a tunnel, and how to get rid of them."""

import logging

import pytest
import trio

from mqvpn_helper.interface.bus_names import BusError
from mqvpn_helper.interface.host_plan import KillSwitchMode
from tests.service.refusals import refused
from tests.service.scene import ALL_GRANTED, PROFILE, FakeMachine, Pipe, helper_on_bus, run


def test_a_kill_switch_that_a_crash_left_is_shown_and_released_on_request() -> None:
    async def main() -> None:
        machine = FakeMachine()
        machine.left_behind = KillSwitchMode.STANDARD
        async with helper_on_bus(machine=machine) as scene:
            seen = await scene.alice.properties()
            assert (seen["State"], seen["KillSwitch"]) == ("blocked", "standard")
            await scene.alice.call("Disconnect")
            seen = await scene.alice.properties()
            assert (seen["State"], seen["KillSwitch"]) == ("off", "off")

    run(main)


def test_a_kill_switch_that_is_left_belongs_to_who_wanted_it() -> None:
    async def main() -> None:
        machine = FakeMachine()
        async with helper_on_bus(machine=machine) as scene:
            await scene.connect(scene.alice)
            await trio.sleep(1)
        machine.left_behind = KillSwitchMode.STANDARD
        async with helper_on_bus(machine=machine) as scene:
            with Pipe(b"") as secrets:
                fd = secrets.fileno()
                await refused(scene.bob, BusError.NOT_AUTHORIZED, "Connect", PROFILE, fd)
            await refused(scene.bob, BusError.NOT_AUTHORIZED, "Disconnect")
            assert {action for _, action, _ in scene.bus.polkit_questions} == {"org.mqvpn.others"}
            scene.bus.polkit_answers.clear()
            await scene.alice.call("Disconnect")
            scene.bus.polkit_answers["org.mqvpn.connect"] = ALL_GRANTED
            await scene.connect(scene.bob)

    run(main)


def test_a_lasting_kill_switch_needs_its_own_permission() -> None:
    async def main() -> None:
        machine = FakeMachine()
        machine.left_behind = KillSwitchMode.ALWAYS
        async with helper_on_bus(machine=machine) as scene:
            await refused(scene.alice, BusError.NOT_CONNECTED, "Disconnect")
            await refused(scene.alice, BusError.NOT_AUTHORIZED, "SetKillSwitch", "off")
            scene.bus.polkit_answers["org.mqvpn.killswitch"] = ALL_GRANTED
            await scene.alice.call("SetKillSwitch", "off")
            assert (await scene.alice.properties())["State"] == "off"
            await refused(scene.alice, BusError.NOT_CONNECTED, "SetKillSwitch", "always")

    run(main)


def test_recover_ends_the_tunnel_and_says_what_did_not_work() -> None:
    async def main() -> None:
        async with helper_on_bus() as scene:
            scene.bus.polkit_answers["org.mqvpn.killswitch"] = ALL_GRANTED
            await scene.connect(scene.alice)
            await scene.alice.call("Recover")
            assert scene.machine.recovered == 1
            assert (await scene.alice.properties())["State"] == "off"
            scene.machine.is_broken = True
            assert await refused(scene.alice, BusError.HOST, "Recover") == "nft is not there"
            await scene.connect(scene.alice)

    run(main)


@pytest.mark.parametrize(
    ("mode", "told"), [(KillSwitchMode.OFF, "off"), (KillSwitchMode.ALWAYS, "always")]
)
def test_the_log_says_that_a_helper_is_there_and_what_it_found(
    mode: KillSwitchMode, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        machine = FakeMachine()
        machine.left_behind = mode
        async with helper_on_bus(machine=machine) as scene:
            version = (await scene.alice.properties())["Version"]
            lines = [each.getMessage() for each in caplog.records if each.levelno == logging.INFO]
            assert lines[0] == (
                f"mqvpn-helper {version} is ready; taken back: 1; kill switch in force: {told}; "
                "tunnel to bring up: none"
            )

    caplog.set_level(logging.INFO, logger="mqvpn_helper")
    run(main)
