from collections.abc import Iterator

from pyroute2.netlink import nlmsg_base

class MarshalRtnl:
    msg_map: dict[int, type[nlmsg_base]]
    def parse(self, data: bytes) -> Iterator[nlmsg_base]: ...
