"""The connection to the helper: errors become advice, and only the helper is believed."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jeepney import (
    DBusAddress,
    HeaderFields,
    MatchRule,
    Message,
    MessageFlag,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.fds import FileDescriptor

from mqvpn_gui.command.helper_client import BusCallError, HelperClient
from mqvpn_gui.user.errors import HelperError, HelperMissingError, NotAuthorizedError
from mqvpn_gui.user.helper_install import install_command
from mqvpn_helper.interface.bus_interface import (
    COLLECT_DIAGNOSTICS,
    DISCONNECT,
    EVENT,
    SET_KILL_SWITCH,
    STATS,
    SUBSCRIBE,
    Signal,
)
from mqvpn_helper.interface.bus_names import (
    BUS_NAME,
    INTERFACE_NAME,
    OBJECT_PATH,
    PROPERTIES_INTERFACE,
    BusError,
)

OWNER = ":1.7"
HELPER = DBusAddress(OBJECT_PATH, BUS_NAME, INTERFACE_NAME)


class FakeFilter:
    """What a connection collects."""

    def __init__(self) -> None:
        self.queue: deque[Message] = deque()
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class FakeConnection:
    """A connection to a bus on which everything is scripted."""

    def __init__(self) -> None:
        self.filter_handle = FakeFilter()
        self.answers: dict[str, Callable[[Message], Message]] = {}
        self.calls: list[Message] = []
        self.is_closed = False

    def filter(self, rule: MatchRule, *, bufsize: int) -> FakeFilter:
        assert "type='signal'" in rule.serialise()
        assert bufsize > 100
        return self.filter_handle

    def send_and_get_reply(self, message: Message, *, timeout: float) -> Message:
        assert timeout > 0
        message.header.serial = len(self.calls) + 1
        self.calls.append(message)
        name = str(message.header.fields[HeaderFields.member])
        if name in self.answers:
            return self.answers[name](message)
        if name == "GetNameOwner":
            return new_method_return(message, "s", (OWNER,))
        return new_method_return(message)

    def recv_until_filtered(self, queue: deque[Message], *, timeout: float) -> Message:
        assert timeout > 0
        if not queue:
            raise TimeoutError
        return queue.popleft()

    def close(self) -> None:
        self.is_closed = True

    def receive(self, message: Message, sender: str = OWNER) -> None:
        """Let a signal arrive."""
        message.header.fields[HeaderFields.sender] = sender
        self.filter_handle.queue.append(message)


@pytest.fixture
def bus() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def client(bus: FakeConnection) -> Iterator[HelperClient]:
    with HelperClient(bus) as opened:  # type: ignore[arg-type]  # the part of it that is used
        opened.find()
        yield opened
    assert bus.is_closed
    assert bus.filter_handle.is_closed


def _error(name: str, text: str = "") -> Callable[[Message], Message]:
    def answer(call: Message) -> Message:
        return new_error(call, name, "s" if text else None, (text,) if text else ())

    return answer


@pytest.mark.parametrize(
    ("name", "text", "kind", "said"),
    [
        ("org.mqvpn.Error.NotAuthorized", "polkit says no", NotAuthorizedError, "polkit says no"),
        ("org.mqvpn.Error.NotAuthorized", "", NotAuthorizedError, "you may not do that; log in"),
        ("org.mqvpn.Error.Busy", "a tunnel is up", BusCallError, "a tunnel is up; 'mqvpn down'"),
        ("org.mqvpn.Error.NoTun", "", BusCallError, "NoTun; as root: modprobe tun"),
        (
            "org.freedesktop.DBus.Error.ServiceUnknown",
            "x",
            HelperMissingError,
            "not installed; run:",
        ),
        ("org.freedesktop.DBus.Error.Spawn.ExecFailed", "x", HelperMissingError, "not installed"),
        ("org.freedesktop.DBus.Error.AccessDenied", "x", NotAuthorizedError, "bus policy"),
        ("org.freedesktop.DBus.Error.UnknownMethod", "x", HelperError, "too old for this"),
        ("org.example.Odd", "a\x1b[31m\nb", HelperError, "the helper failed: a [31m b"),
        ("org.example.Odd", "", HelperError, "the helper failed: org.example.Odd"),
    ],
)
def test_errors_become_advice(
    bus: FakeConnection,
    client: HelperClient,
    name: str,
    text: str,
    kind: type[HelperError],
    said: str,
) -> None:
    bus.answers["Disconnect"] = _error(name, text)
    with pytest.raises(HelperError) as caught:
        client.call(DISCONNECT)
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_every_typed_error_has_its_kind(bus: FakeConnection, client: HelperClient) -> None:
    for kind in set(BusError) - {BusError.NOT_AUTHORIZED}:
        bus.answers["Disconnect"] = _error(kind.bus_name, "text")
        with pytest.raises(BusCallError) as caught:
            client.call(DISCONNECT)
        assert caught.value.kind is kind


def test_a_bus_that_is_gone_or_silent(bus: FakeConnection, client: HelperClient) -> None:
    def late(_: Message) -> Message:
        raise TimeoutError

    def gone(_: Message) -> Message:
        raise ConnectionResetError

    bus.answers["Disconnect"] = late
    with pytest.raises(HelperError, match=r"no answer within 300 seconds; 'systemctl"):
        client.call(DISCONNECT)
    bus.answers["Disconnect"] = gone
    with pytest.raises(HelperError, match="closed the connection"):
        client.call(DISCONNECT)


def test_calls_allow_questions_and_are_as_the_table_says(
    bus: FakeConnection, client: HelperClient
) -> None:
    client.call(SET_KILL_SWITCH, "always")
    sent = bus.calls[-1]
    assert sent.header.flags & MessageFlag.allow_interactive_authorization
    assert sent.header.fields[HeaderFields.signature] == "s"
    assert sent.header.fields[HeaderFields.destination] == BUS_NAME
    assert sent.body == ("always",)


def test_an_answer_of_another_form_is_refused(bus: FakeConnection, client: HelperClient) -> None:
    bus.answers["CollectDiagnostics"] = lambda call: new_method_return(call, "s", ("x",))
    with pytest.raises(HelperError, match="of different versions"):
        client.call(COLLECT_DIAGNOSTICS)
    reading, writing = os.pipe()
    os.close(writing)
    bus.answers["Subscribe"] = lambda call: new_method_return(call, "h", (FileDescriptor(reading),))
    with pytest.raises(HelperError, match="of different versions"):
        client.call(SUBSCRIBE, 0)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(reading)


def test_properties_come_without_their_types(bus: FakeConnection, client: HelperClient) -> None:
    values = {
        "State": ("s", "up"),
        "LastError": ("(ss)", ("Host", "s")),
        "Paths": ("a{sa{sv}}", {"wlan0": {"rtt_ms": ("d", 1.5)}}),
    }
    bus.answers["GetAll"] = lambda call: new_method_return(call, "a{sv}", (values,))
    assert client.properties() == {
        "State": "up",
        "LastError": ("Host", "s"),
        "Paths": {"wlan0": {"rtt_ms": 1.5}},
    }


def _signal(signal: Signal, *body: object) -> Message:
    return new_signal(HELPER, signal.name, signal.signature, body)


def test_only_the_helper_is_believed(bus: FakeConnection, client: HelperClient) -> None:
    event = (1, 2, "path-up", "wlan0", {"gap_ms": ("d", 62.0)})
    bus.receive(_signal(EVENT, *event), sender=":1.66")
    bus.receive(_signal(EVENT, *event))
    bus.receive(new_signal(HELPER, "Event", "s", ("of another form",)))
    bus.receive(new_signal(HELPER, "Unheard", "s", ("of",)))
    bus.receive(new_signal(HELPER.with_interface("org.example"), "Event", "s", ("of",)))
    bus.receive(_signal(STATS, 5, {"wlan0": {"loss": ("d", 0.5)}}))
    changed = new_signal(
        HELPER.with_interface(PROPERTIES_INTERFACE),
        "PropertiesChanged",
        "sa{sv}as",
        (INTERFACE_NAME, {"State": ("s", "up")}, []),
    )
    bus.receive(changed)
    found = [(each.name, each.values) for each in client.signals(1)]
    assert found == [
        ("Event", (1, 2, "path-up", "wlan0", {"gap_ms": 62.0})),
        ("Stats", (5, {"wlan0": {"loss": 0.5}})),
        ("PropertiesChanged", (INTERFACE_NAME, {"State": "up"}, [])),
    ]


def _owner_changed(name: str, owner: str = "") -> Message:
    bus_object = DBusAddress("/org/freedesktop/DBus", interface="org.freedesktop.DBus")
    return new_signal(bus_object, "NameOwnerChanged", "sss", (name, "", owner))


def test_the_helper_leaves(bus: FakeConnection, client: HelperClient) -> None:
    bus.receive(_owner_changed(BUS_NAME), sender=":1.66")  # somebody pretends
    bus.receive(_owner_changed("org.example"), sender="org.freedesktop.DBus")
    bus.receive(_owner_changed(BUS_NAME, OWNER), sender="org.freedesktop.DBus")  # its start
    assert list(client.signals(1)) == []
    assert not client.is_helper_gone
    bus.receive(_owner_changed(BUS_NAME), sender="org.freedesktop.DBus")
    bus.receive(_signal(EVENT, 1, 2, "path-up", "", {}))
    assert list(client.signals(1)) == []
    assert client.is_helper_gone


def test_without_a_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    with pytest.raises(HelperMissingError, match=r"no system bus on this machine .No such file"):
        HelperClient.open()


@pytest.mark.parametrize(
    ("os_release", "command"),
    [
        ("ID=debian\n", "sudo apt install ./mqvpn-core_*.deb"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "sudo apt install ./mqvpn-core_*.deb"),
        ("ID=fedora\n", "sudo ./mqvpn-install-helper"),
        ("ID=nixos\n", "sudo ./mqvpn-install-helper"),
        ("nonsense", "sudo ./mqvpn-install-helper"),
        ("", "sudo ./mqvpn-install-helper"),
    ],
)
def test_the_one_command(os_release: str, command: str) -> None:
    assert install_command(os_release) == command
    assert install_command()


def test_what_came_by_pip_is_installed_by_its_own_program(tmp_path: Path) -> None:
    assert install_command("ID=debian\n", tmp_path) == "sudo apt install ./mqvpn-core_*.deb"
    program = tmp_path / "my tools/bin/mqvpn-install-helper"
    program.parent.mkdir(parents=True)
    program.touch()
    assert install_command("ID=debian\n", program.parents[1]) == f"sudo '{program}'"
