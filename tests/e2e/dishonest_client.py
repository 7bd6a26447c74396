"""A client that sends whatever its machine gives it: what our own client would never let out.

Run as a program in place of ``mqvpn-core``, with the same command line.
"""

import sys

from mqvpn_core.cli import main
from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.packet_filter import PacketFilter
from mqvpn_core.wire.ip_packets import IpHeader


def let_everything_out(_filter: PacketFilter, _header: IpHeader) -> DropReason | None:
    return None


if __name__ == "__main__":
    PacketFilter.judge_towards_proxy = let_everything_out  # type: ignore[assignment, method-assign] # the point
    sys.exit(main())
