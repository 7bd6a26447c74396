"""The helper behind a real bus and a real polkitd: who may do what, and what it is itself."""

import json
import os
import signal
import sys

import pytest

from mqvpn_helper.interface.bus_names import BUS_NAME, BusError
from mqvpn_helper.service.capabilities import Capability
from tests.bus.conftest import open_bus
from tests.bus.system_bus import BusUser, CallError, SystemBus, process_status, secret, variant

pytestmark = [pytest.mark.netns, pytest.mark.slow]

PROFILE = {"server": variant("s", "192.0.2.9"), "name": variant("s", "home")}
KEY = secret("alice:key")
DENY = """
polkit.addRule(function(action, subject) {
    if (action.id == "org.mqvpn.connect") { return polkit.Result.NO; }
});
"""
ASK_THE_USER = """
polkit.addRule(function(action, subject) {
    if (action.id.indexOf("org.mqvpn.") == 0) { return polkit.Result.AUTH_SELF; }
});
"""


def refused(kind: BusError, user: BusUser, member: str, *body: object) -> str:
    """Make a call that must be refused in this way; return why."""
    with pytest.raises(CallError) as refusal:
        user.call(member, *body)
    assert refusal.value.name == kind.bus_name
    return refusal.value.text


def test_whoever_sits_at_the_machine_connects_without_a_password(
    bus: SystemBus, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = bus.user("alice")
    assert alice.properties()["State"] == "off"
    activation = alice.seconds
    alice.call("Connect", PROFILE, KEY)
    answer = alice.seconds
    seen = alice.properties()
    assert seen["State"] == "connecting"
    assert seen["Owner"] == 61001
    alice.call("Disconnect")
    with capsys.disabled():
        sys.stdout.write(
            f"\n  helper: first reply {activation:.2f} s, Connect() answered {answer:.3f} s\n"
        )


def test_whoever_does_not_sit_there_gets_the_challenge(bus: SystemBus) -> None:
    bob = bus.user("bob")
    text = refused(BusError.NOT_AUTHORIZED, bob, "Connect", PROFILE, KEY)
    assert text == "org.mqvpn.connect: this needs a password; allow interactive authorization"
    with pytest.raises(CallError, match="connect: the password was not given"):
        bob.call("Connect", PROFILE, KEY, is_interactive=True)
    outside = bus.user("alice", seated=False)
    refused(BusError.NOT_AUTHORIZED, outside, "Connect", PROFILE, KEY)
    assert bob.properties()["State"] == "off"


def test_the_kill_switch_needs_a_password_even_there(bus: SystemBus) -> None:
    alice = bus.user("alice")
    for member, body in (
        ("SetKillSwitch", ["off"]),
        ("Recover", []),
        ("SetDns", [{}]),
        ("SetSplit", [{}]),
    ):
        text = refused(BusError.NOT_AUTHORIZED, alice, member, *body)
        assert "password" in text


def test_a_rule_that_denies_gives_a_clear_error() -> None:
    with open_bus(rules=DENY) as bus:
        alice = bus.user("alice")
        text = refused(BusError.NOT_AUTHORIZED, alice, "Connect", PROFILE, KEY)
        assert text == "org.mqvpn.connect: not allowed by the policy of this machine"
        bus.user("root").call("Connect", PROFILE, KEY)


def test_another_user_neither_reads_nor_ends_a_tunnel(bus: SystemBus) -> None:
    alice, bob, carol = bus.user("alice"), bus.user("bob"), bus.user("carol")
    for user in (alice, bob, carol):
        user.ask({"listen": "/org/mqvpn/Helper1"})
        user.call("Subscribe", 0)
    alice.call("Connect", PROFILE, KEY)
    for other in (bob, carol):  # carol may use the machine's tunnel, but this one is not hers
        for member, body in (
            ("Disconnect", []),
            ("GetEvents", [0, 100]),
            ("SetPathPolicy", ["eth0", {"role": variant("s", "never")}]),
            ("ProvideSecrets", [KEY]),
        ):
            text = refused(BusError.NOT_AUTHORIZED, other, member, *body)
            assert text.startswith("org.mqvpn.others: ")
        assert "Server" not in other.properties()
    refused(BusError.BUSY, carol, "Connect", PROFILE, KEY)
    alice.call("SetPathPolicy", "eth0", {"role": variant("s", "never")})
    alice.call("Disconnect")
    changed = alice.signal("PropertiesChanged")
    assert changed is not None
    for other in (bob, carol):
        assert other.signal("Event", 0) is None
        heard: set[str] = set()
        while (signal := other.signal("PropertiesChanged", 0)) is not None:
            assert isinstance(signal[1], dict)
            heard |= set(signal[1])
        assert "State" in heard
        assert not heard & {"Server", "Profile", "Paths", "Addresses", "LastError"}


def test_root_may_end_any_tunnel(bus: SystemBus) -> None:
    alice, root = bus.user("alice"), bus.user("root")
    alice.call("Connect", PROFILE, KEY)
    assert root.properties()["Server"] == "192.0.2.9:443"
    root.call("Disconnect")
    assert alice.properties()["State"] == "off"


def test_the_right_password_is_enough_where_a_rule_says_so() -> None:
    with open_bus(rules=ASK_THE_USER) as bus:
        bus.run(["sh", "-c", "echo bob:right | chpasswd"])
        for password, is_enough in (("wrong", False), ("right", True)):
            bob = bus.user("bob")
            with bus.password_agent(bob, password):
                if is_enough:
                    bob.call("Connect", PROFILE, KEY, is_interactive=True)
                    assert bob.properties()["Owner"] == 61002
                else:
                    with pytest.raises(CallError, match="or the password was wrong"):
                        bob.call("Connect", PROFILE, KEY, is_interactive=True)


def test_the_helper_keeps_only_the_capabilities_it_lists(bus: SystemBus) -> None:
    bus.user("alice").properties()
    status = process_status(bus.helper_pid())
    mask = f"{sum(1 << each for each in Capability):016x}"
    none = "0" * 16
    assert {name: status[name] for name in ("CapBnd", "CapPrm", "CapEff")} == dict.fromkeys(
        ("CapBnd", "CapPrm", "CapEff"), mask
    )
    assert (status["CapAmb"], status["CapInh"], status["NoNewPrivs"]) == (none, none, "1")


def test_it_goes_when_idle_and_comes_back_when_called() -> None:
    with open_bus(helper=("--idle-seconds", "0.4")) as bus:
        alice = bus.user("alice")
        alice.properties()
        first = bus.helper_pid()
        bus.wait(lambda: bus.helper_pid() == 0, "end of the idle helper")
        assert alice.properties()["State"] == "off"
        assert bus.helper_pid() not in (0, first)
        alice.call("Subscribe", 0)
        last = bus.helper_pid()
        bus.stay(lambda: bus.helper_pid() == last, seconds=1.5)


def test_it_ends_in_order_when_the_bus_is_gone() -> None:
    with open_bus() as bus:
        alice = bus.user("alice")
        alice.call("Connect", PROFILE, KEY)
        helper = bus.helper_pid()
        (daemon,) = bus.processes("dbus-daemon --system")
        os.kill(daemon, signal.SIGKILL)
        # Nobody but the dead bus would have taken note of its end.
        bus.wait(lambda: process_status(helper).get("State", "Z")[0] == "Z", "end of the helper")
        assert "the message bus is gone" in bus.log()
        assert bus.namespace.links() == ["lo"]


def test_the_report_is_json_about_this_machine(bus: SystemBus) -> None:
    alice, bob = bus.user("alice"), bus.user("bob")
    (pipe,) = alice.call("CollectDiagnostics")
    assert isinstance(pipe, dict)
    report = json.loads(pipe["pipe"])
    assert report["properties"]["State"] == "off"
    assert report["machine"]["has_tun"] is True
    assert report["machine"]["has_nft"] is True
    refused(BusError.NOT_AUTHORIZED, bob, "CollectDiagnostics")


def test_there_is_one_helper_and_root_starts_it(bus: SystemBus) -> None:
    alice = bus.user("alice")
    alice.properties()
    helper = [sys.executable, "-I", "-m", "mqvpn_helper.service.main"]
    second = bus.run(helper)
    assert (second.returncode, second.stderr) == (1, "mqvpn-helper: another helper is running\n")
    by_hand = bus.run(helper, user="alice")
    assert by_hand.returncode == 2
    assert "root starts this program" in by_hand.stderr
    assert alice.properties()["State"] == "off"


def test_nobody_but_root_takes_the_name(bus: SystemBus) -> None:
    for user in ("alice", "mqvpn"):
        with pytest.raises(CallError) as refusal:
            bus.user(user).call(
                "RequestName",
                BUS_NAME,
                4,
                interface="org.freedesktop.DBus",
                signature="su",
                to="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
            )
        assert refusal.value.name.endswith("AccessDenied")
