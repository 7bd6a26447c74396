"""A helper in memory: answers as told, and notes what it was asked."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Self

from mqvpn_gui.command.helper_client import HelperSignal
from mqvpn_helper.interface.bus_interface import NO_OWNER, Method
from mqvpn_helper.interface.bus_names import INTERFACE_NAME

OFF: Mapping[str, object] = {
    "Version": "0.1.0",
    "ApiLevel": 1,
    "State": "off",
    "Owner": NO_OWNER,
    "Since": 0,
    "KillSwitch": "off",
    "DnsMethod": "",
}
PATHS: dict[str, object] = {
    "wlan0": {
        "kind": "wireless",
        "state": "active",
        "role": "primary",
        "rtt_ms": 12.25,
        "jitter_ms": 1.5,
        "loss": 0.001,
        "rx_bps": 41_600_000,
        "tx_bps": 3_200_000,
        "share": 0.81,
        "metered": False,
        "mtu": 1350,
        "used_bytes": 5_000_000_000,
    },
    "wwan0": {
        "kind": "cellular",
        "state": "active",
        "role": "backup",
        "rtt_ms": 81.0,
        "jitter_ms": 9.75,
        "loss": 0.0,
        "rx_bps": 0,
        "tx_bps": 720,
        "share": 0.0,
        "metered": True,
        "mtu": 1350,
        "used_bytes": 92,
    },
}


def up_properties(
    profile: str = "office", since_us: int = 1_000_000_000_000_000
) -> dict[str, object]:
    """What the helper says of a tunnel that is up."""
    return {
        **OFF,
        "State": "up",
        "Owner": os.getuid(),
        "Since": since_us,
        "KillSwitch": "standard",
        "DnsMethod": "systemd-resolved",
        "Profile": profile,
        "Server": "vpn.example.org:443",
        "TunName": "mqvpn0",
        "Addresses": ["10.0.0.2/32"],
        "Paths": PATHS,
        "LastError": ("", ""),
    }


def changed(**properties: object) -> HelperSignal:
    """The signal that tells of changed properties."""
    return HelperSignal(name="PropertiesChanged", values=(INTERFACE_NAME, properties, []))


class FakeHelper:
    """Stands for `HelperClient`."""

    def __init__(self) -> None:
        self.current: dict[str, object] = dict(OFF)
        """The properties."""
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        """Name and arguments of each call; descriptors are read and replaced by their content."""
        self.answers: dict[str, Callable[[tuple[object, ...]], tuple[object, ...]]] = {}
        """What a method does instead of nothing."""
        self.rounds: list[list[HelperSignal]] = []
        """What each listening for signals brings; afterwards nothing."""
        self.after_round: Callable[[], None] = lambda: None
        """Called after each round."""
        self.is_helper_gone = False
        self.open_error: Exception | None = None
        self.is_open = False

    def __call__(self) -> Self:
        """Stand for ``HelperClient.open``."""
        if self.open_error is not None:
            raise self.open_error
        return self

    def __enter__(self) -> Self:
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False

    def find(self) -> None:
        assert self.is_helper_gone
        self.is_helper_gone = False

    def properties(self) -> Mapping[str, object]:
        assert self.is_open
        return dict(self.current)

    def call(self, method: Method, *arguments: object) -> tuple[object, ...]:
        assert self.is_open
        assert len(arguments) == len(method.arguments)
        noted = tuple(
            os.read(value, 4096).decode() if argument.signature == "h" and isinstance(value, int)
            else value
            for argument, value in zip(method.arguments, arguments, strict=True)
        )  # fmt: skip
        self.calls.append((method.name, noted))
        answer = self.answers.get(method.name)
        return () if answer is None else answer(noted)

    def signals(self, timeout: float) -> Iterator[HelperSignal]:
        assert timeout > 0
        found = self.rounds.pop(0) if self.rounds else []
        for each in found:
            if each.name == "PropertiesChanged":
                properties = each.values[1]
                assert isinstance(properties, dict)
                self.current |= properties
            yield each
        self.after_round()

    def names(self) -> list[str]:
        """Names of the calls."""
        return [name for name, _ in self.calls]
