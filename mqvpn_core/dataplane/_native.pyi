# The optional extension: what the reference has, under the same names.
from collections.abc import Sequence
from typing import final

from mqvpn_core.dataplane.packets import (
    CipherSuite,
    OpenResult,
    ReceiveContext,
    SealedRun,
    ShortHeader,
)

ABI: int

@final
class PacketKeys:
    def __new__(
        cls, suite: CipherSuite, key: bytes, iv: bytes, header_protection_key: bytes
    ) -> PacketKeys: ...
    @property
    def suite(self) -> CipherSuite: ...

def seal_batch(
    keys: PacketKeys,
    header: ShortHeader,
    path_id: int,
    first_packet_number: int,
    payloads: Sequence[bytes],
) -> list[bytes]: ...
def seal_runs(
    keys: PacketKeys,
    header: ShortHeader,
    path_id: int,
    first_packet_number: int,
    payloads: Sequence[bytes],
) -> list[SealedRun]: ...
def open_batch(
    keys: PacketKeys, context: ReceiveContext, packets: Sequence[bytes]
) -> list[OpenResult]: ...
