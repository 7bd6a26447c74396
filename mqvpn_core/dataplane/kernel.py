"""The one place that chooses the kernel: callers import the data plane from here.

The native twin (Rust, optional) does what the reference does, faster. `MQVPN_DATAPLANE` in the
environment forces one of the two.
"""

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final

from mqvpn_core.dataplane.bypass import Bypass, FlowSet
from mqvpn_core.dataplane.choice import VARIABLE, KernelChoice, choose_kernel
from mqvpn_core.dataplane.frames import FRAME_HEADER_BYTES, packets_in, plain_frames
from mqvpn_core.dataplane.packets import (
    ABI,
    MAX_RUN_BYTES,
    MAX_RUN_PACKETS,
    TAG_BYTES,
    Bad,
    CipherSuite,
    DatagramBuffer,
    DatagramReader,
    Destination,
    Flight,
    FrameReader,
    OpenedPacket,
    OpenedTrain,
    OpenResult,
    OpenSegmentsResult,
    OtherPhase,
    Parcel,
    Payload,
    PeerKey,
    ReceiveContext,
    ReceivedBytes,
    SealedRun,
    ShortHeader,
)
from mqvpn_core.dataplane.runs import group_runs

__all__ = [
    "FRAME_HEADER_BYTES",
    "KERNEL_CHOICE",
    "KERNEL_NAME",
    "MAX_RUN_BYTES",
    "MAX_RUN_PACKETS",
    "TAG_BYTES",
    "WANTS_OFFLOADS",
    "Bad",
    "Bypass",
    "CipherSuite",
    "DatagramBuffer",
    "DatagramReader",
    "Destination",
    "Flight",
    "FlowSet",
    "OpenResult",
    "OpenSegmentsResult",
    "OpenedPacket",
    "OpenedTrain",
    "OtherPhase",
    "PacketKeys",
    "PacketTrain",
    "Parcel",
    "Payload",
    "PeerKey",
    "ReceiveContext",
    "ReceivedBytes",
    "SealedRun",
    "ShortHeader",
    "group_runs",
    "join_packets",
    "make_bypass",
    "make_datagram_reader",
    "make_flow_set",
    "make_frame_reader",
    "open_batch",
    "open_segments",
    "packets_in",
    "plain_frames",
    "plan_flight",
    "seal_batch",
    "seal_runs",
    "share_destination",
    "split_frames",
    "write_joined",
]

KERNEL_CHOICE: Final[KernelChoice] = choose_kernel(
    os.environ.get(VARIABLE, ""), ABI, lambda: import_module("mqvpn_core.dataplane._native")
)
"""The kernel in use and why."""
KERNEL_NAME: Final = KERNEL_CHOICE.name

WANTS_OFFLOADS: Final = KERNEL_CHOICE.module is not None
"""Splitting and joining packets for the host pays. In Python it does not: the checksums alone cost
more than what is saved elsewhere."""

make_datagram_reader: Final[Callable[[], DatagramReader] | None] = getattr(
    KERNEL_CHOICE.module, "DatagramReader", None
)
"""Not in the reference: a socket is read without it as well, one by one."""

make_frame_reader: Final[Callable[[], FrameReader] | None] = getattr(
    KERNEL_CHOICE.module, "FrameReader", None
)
"""Not in the reference: there `split_frames` takes what was read one by one."""

make_flow_set: Final[Callable[[], FlowSet]] = getattr(KERNEL_CHOICE.module, "FlowSet", set)
"""In the reference it is an ordinary set."""

make_bypass: Final[Callable[[int, bool], Bypass] | None] = (
    None
    if os.environ.get("MQVPN_BYPASS") == "off"
    else getattr(KERNEL_CHOICE.module, "Bypass", None)
)
"""Not in the reference, and not where `MQVPN_BYPASS` is "off". Takes the descriptor of a TUN
device, and whether it takes joined UDP."""

plan_flight: Final[
    Callable[["PacketKeys", ShortHeader, int, int, Sequence[Payload]], Flight] | None
] = getattr(KERNEL_CHOICE.module, "plan_flight", None)
"""Not in the reference: takes what `seal_runs` takes, and puts the work off until it is sent."""

write_joined: Final[Callable[[int, Sequence[Parcel], bool], tuple[int, int]] | None] = getattr(
    KERNEL_CHOICE.module, "write_packets", None
)
"""Not in the reference, which never joins: does what `join_packets` does, and writes to a device.

Takes its descriptor, the packets and whether UDP is joined; returns the bytes that were written and
the packets that the device did not take.
"""

# The twins have the same signatures, so that the reference's types are those of both.
if TYPE_CHECKING or KERNEL_CHOICE.module is None:
    from mqvpn_core.dataplane.reference import (
        PacketKeys,
        PacketTrain,
        join_packets,
        open_batch,
        open_segments,
        seal_batch,
        seal_runs,
        share_destination,
        split_frames,
    )
else:
    from mqvpn_core.dataplane._native import (
        PacketKeys,
        PacketTrain,
        join_packets,
        open_batch,
        open_segments,
        seal_batch,
        seal_runs,
        share_destination,
        split_frames,
    )
