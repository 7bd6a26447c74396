"""The one place that chooses the kernel: callers import the data plane from here.

Today there is one implementation, in pure Python.
"""

from mqvpn_core.dataplane.reference import (
    KERNEL_NAME,
    TAG_BYTES,
    Bad,
    CipherSuite,
    OpenedPacket,
    OpenResult,
    OtherPhase,
    PacketKeys,
    ReceiveContext,
    ShortHeader,
    open_batch,
    seal_batch,
)

__all__ = [
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
