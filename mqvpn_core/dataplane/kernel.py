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
    TAG_BYTES,
    Bad,
    CipherSuite,
    OpenedPacket,
    OpenResult,
    OtherPhase,
    ReceiveContext,
    ShortHeader,
)

__all__ = [
    "KERNEL_CHOICE",
    "KERNEL_NAME",
    "TAG_BYTES",
    "Bad",
    "CipherSuite",
    "OpenResult",
    "OpenedPacket",
    "OtherPhase",
    "PacketKeys",
    "ReceiveContext",
    "ShortHeader",
    "open_batch",
    "seal_batch",
]

KERNEL_CHOICE: Final[KernelChoice] = choose_kernel(
    os.environ.get(VARIABLE, ""), ABI, lambda: import_module("mqvpn_core.dataplane._native")
)
"""The kernel in use and why."""
KERNEL_NAME: Final = KERNEL_CHOICE.name

# The twins have the same signatures, so that the reference's types are those of both.
if TYPE_CHECKING or KERNEL_CHOICE.module is None:
    from mqvpn_core.dataplane.reference import PacketKeys, open_batch, seal_batch
else:
    from mqvpn_core.dataplane._native import PacketKeys, open_batch, seal_batch
