"""The one place that chooses the kernel: callers import the data plane from here.

The native twin (Rust, optional) does what the reference does, faster. `MQVPN_DATAPLANE` in the
environment forces one of the two.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Final

from mqvpn_core.dataplane.choice import VARIABLE, KernelChoice, choose_kernel
from mqvpn_core.dataplane.packets import (
    ABI,
    MAX_RUN_BYTES,
    MAX_RUN_PACKETS,
    TAG_BYTES,
    Bad,
    CipherSuite,
    OpenedPacket,
    OpenResult,
    OtherPhase,
    ReceiveContext,
    SealedRun,
    ShortHeader,
)
from mqvpn_core.dataplane.runs import group_runs

__all__ = [
    "KERNEL_CHOICE",
    "KERNEL_NAME",
    "MAX_RUN_BYTES",
    "MAX_RUN_PACKETS",
    "TAG_BYTES",
    "Bad",
    "CipherSuite",
    "OpenResult",
    "OpenedPacket",
    "OtherPhase",
    "PacketKeys",
    "ReceiveContext",
    "SealedRun",
    "ShortHeader",
    "group_runs",
    "open_batch",
    "seal_batch",
    "seal_runs",
]

KERNEL_CHOICE: Final[KernelChoice] = choose_kernel(
    os.environ.get(VARIABLE, ""), ABI, lambda: import_module("mqvpn_core.dataplane._native")
)
"""The kernel in use and why."""
KERNEL_NAME: Final = KERNEL_CHOICE.name

# The twins have the same signatures, so that the reference's types are those of both.
if TYPE_CHECKING or KERNEL_CHOICE.module is None:
    from mqvpn_core.dataplane.reference import PacketKeys, open_batch, seal_batch, seal_runs
else:
    from mqvpn_core.dataplane._native import PacketKeys, open_batch, seal_batch, seal_runs
