"""The two kernels side by side, for tests that ask the same of both.

``MQVPN_NATIVE=require`` turns the skips of a machine without the native kernel into failures.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import pytest

from mqvpn_core.dataplane import reference
from mqvpn_core.dataplane.choice import NATIVE, choose_kernel
from mqvpn_core.dataplane.packets import (
    ABI,
    CipherSuite,
    Flight,
    FrameReader,
    OpenResult,
    OpenSegmentsResult,
    Parcel,
    Payload,
    ReceiveContext,
    SealedRun,
    ShortHeader,
)
from mqvpn_core.dataplane.reference import PacketKeys
from mqvpn_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Twin:
    """One kernel; the types are those of the reference."""

    name: str
    make_keys: Callable[[CipherSuite, bytes, bytes, bytes], PacketKeys]
    seal_batch: Callable[[PacketKeys, ShortHeader, int, int, Sequence[bytes]], list[bytes]]
    seal_runs: Callable[[PacketKeys, ShortHeader, int, int, Sequence[Payload]], list[SealedRun]]
    open_batch: Callable[[PacketKeys, ReceiveContext, Sequence[bytes]], list[OpenResult]]
    open_segments: Callable[[PacketKeys, ReceiveContext, bytes, int], list[OpenSegmentsResult]]
    split_frames: Callable[[Sequence[bytes]], list[Parcel]]
    join_packets: Callable[[Sequence[Parcel], bool], list[bytes]]
    write_joined: Callable[[int, Sequence[Parcel], bool], tuple[int, int]] | None
    plan_flight: Callable[[PacketKeys, ShortHeader, int, int, Sequence[Payload]], Flight] | None
    make_frame_reader: Callable[[], FrameReader] | None


def load_twin(name: str) -> Twin:
    """Load a kernel by its name; skip or fail the test when there is none."""
    module: ModuleType | None = reference
    if name == NATIVE:
        try:
            module = choose_kernel(
                NATIVE, ABI, lambda: import_module("mqvpn_core.dataplane._native")
            ).module
        except ConfigError as error:
            if os.environ.get("MQVPN_NATIVE") == "require":
                pytest.fail(str(error), pytrace=False)
            pytest.skip(str(error))
    assert module is not None
    return Twin(
        name,
        module.PacketKeys,
        module.seal_batch,
        module.seal_runs,
        module.open_batch,
        module.open_segments,
        module.split_frames,
        module.join_packets,
        getattr(module, "write_packets", None),
        getattr(module, "plan_flight", None),
        getattr(module, "FrameReader", None),
    )
