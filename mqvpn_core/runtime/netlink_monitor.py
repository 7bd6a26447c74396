"""What the kernel says about links, addresses and ways to the server, over rtnetlink.

Owns two sockets: one that listens to the kernel's notifications and never blocks, and one for
questions, asked in a worker thread because the kernel may let them wait for its lock. Needs no
privilege. pyroute2 is the codec and no more. Decides nothing: see `mqvpn_core.runtime.link_watch`.
"""

import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, ip_address
from typing import TypeVar

import trio
from pyroute2.netlink import nlmsg, nlmsg_base
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.marshal import MarshalRtnl
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from mqvpn_core.errors import HostError
from mqvpn_core.ids import IfIndex
from mqvpn_core.runtime.freed_memory import give_back_freed_memory
from mqvpn_core.runtime.link_medium import guess_medium
from mqvpn_core.tunnel.link_table import (
    AddressGone,
    AddressSeen,
    Link,
    LinkGone,
    LinkMedium,
    LinkMessage,
    LinkSeen,
    Way,
    WaysSeen,
)
from mqvpn_helper.interface.host_plan import IPAddress

RECEIVE_BUFFER_BYTES = 1 << 20
"""Room for notifications that wait for us; one switched-off link makes about eight."""

_NETLINK_ROUTE = 0
_SO_RCVBUFFORCE = 33
_READ_BYTES = 1 << 17
_MAX_READS = 256
_QUESTION_TIMEOUT = 5.0
_DUMP_ATTEMPTS = 5

# linux/rtnetlink.h and linux/netlink.h
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # link, IPv4 address and route, IPv6 the same
_NLMSG_DONE = 3
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 24, 25, 26
_NLM_F_REQUEST = 0x1
_NLM_F_DUMP_INTR = 0x10
_NLM_F_DUMP = 0x300
_RTM_F_FIB_MATCH = 0x2000
_RTN_UNICAST, _RTN_LOCAL = 1, 2
_RT_SCOPE_LINK = 253
_IFF_UP = 0x1
_IFF_RUNNING = 0x40
_IFF_LOWER_UP = 0x10000
_IFA_F_DADFAILED = 0x08
_IFA_F_TENTATIVE = 0x40
_IFA_F_OPTIMISTIC = 0x04

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkNews:
    """What one look at the notifications gave."""

    messages: tuple[LinkMessage, ...] = ()
    """About links and addresses, in order."""
    routes_changed: bool = False
    """Some route changed: ways to the server may be others now."""
    is_incomplete: bool = False
    """The kernel had to drop notifications: everything must be listed again."""


class NetlinkMonitor:
    """Links, addresses and ways of the network namespace it was made in.

    A: `list_all`, `find_ways`. B: `wait_readable`, `read`. C: `close`.
    """

    def __init__(self, *, receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES) -> None:
        """Open the sockets.

        Args:
            receive_buffer_bytes: room for notifications that wait.

        Raises:
            HostError: the kernel refuses.
        """
        self._parser = MarshalRtnl()
        # Of routes it only matters that they changed; a router's may be many, so their
        # attributes are left alone.
        self._parser.msg_map.update({_RTM_NEWROUTE: nlmsg, _RTM_DELROUTE: nlmsg})
        self._answer_parser = MarshalRtnl()
        self._mediums: dict[tuple[int, str], LinkMedium] = {}
        self._sequence_number = 0
        self._limiter = trio.CapacityLimiter(1)
        try:
            self._notifications = _open_socket(_GROUPS)
            self._questions = _open_socket(0)
        except OSError as error:
            raise HostError(f"cannot watch the network links: {error.strerror}") from error
        self._notifications.setblocking(False)
        self._questions.settimeout(_QUESTION_TIMEOUT)
        try:
            self._notifications.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer_bytes)
        except PermissionError:
            self._notifications.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes
            )

    def close(self) -> None:
        """Close the sockets."""
        if self._notifications.fileno() >= 0:
            if trio.lowlevel.in_trio_run():
                trio.lowlevel.notify_closing(self._notifications)
            self._notifications.close()
            self._questions.close()

    async def wait_readable(self) -> None:
        """Wait for notifications."""
        await trio.lowlevel.wait_readable(self._notifications)

    def read(self) -> LinkNews:
        """Take the notifications that wait."""
        messages: list[LinkMessage] = []
        routes_changed = is_incomplete = False
        for _ in range(_MAX_READS):
            try:
                data, sender = self._notifications.recvfrom(_READ_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                is_incomplete = True
                continue
            if sender[0] != 0:
                continue  # not from the kernel
            for message in self._parser.parse(data):
                kind = message["header"]["type"]
                if kind in {_RTM_NEWROUTE, _RTM_DELROUTE}:
                    routes_changed = True
                else:
                    messages.extend(self._translate(message, kind))
        return LinkNews(
            messages=tuple(messages), routes_changed=routes_changed, is_incomplete=is_incomplete
        )

    async def list_all(self) -> tuple[LinkMessage, ...]:
        """Return every link and address there is.

        Raises:
            HostError: the kernel does not answer, or things change too fast to be listed.
        """
        return await self._in_thread(self._list_all)

    async def find_ways(
        self, links: Sequence[Link], servers: Sequence[IPAddress]
    ) -> tuple[WaysSeen, ...]:
        """Return the ways that lead from links to addresses of the server, one a pair at most.

        Policy rules count, our own routes into the tunnel do not: the question names the link, as
        the sockets of paths are bound to it.

        Args:
            links: the links with their addresses.
            servers: where to.

        Raises:
            HostError: the kernel does not answer.
        """
        return await self._in_thread(partial(self._find_ways, links, servers))

    async def _in_thread(self, question: Callable[[], _Answer]) -> _Answer:
        def ask() -> _Answer:
            try:
                return question()
            finally:
                give_back_freed_memory()

        return await trio.to_thread.run_sync(ask, limiter=self._limiter)

    def _list_all(self) -> tuple[LinkMessage, ...]:
        found: list[LinkMessage] = []
        for request, kind in ((ifinfmsg(), _RTM_GETLINK), (ifaddrmsg(), _RTM_GETADDR)):
            for message in self._dump(request, kind):
                found.extend(self._translate(message, message["header"]["type"]))
        return tuple(found)

    def _find_ways(
        self, links: Sequence[Link], servers: Sequence[IPAddress]
    ) -> tuple[WaysSeen, ...]:
        outside = [server for server in servers if not self._is_local(server)]
        return tuple(
            WaysSeen(
                ifindex=link.ifindex,
                ways=tuple(
                    way for server in outside if (way := self._find_way(link, server)) is not None
                ),
            )
            for link in links
        )

    def _find_way(self, link: Link, server: IPAddress) -> Way | None:
        own = [each for each in link.addresses if each.version == server.version]
        if not own:
            return None
        metric = self._metric(link.ifindex, server, None)
        if metric is not None:
            answer = self._ask(_route_question(server, link.ifindex))
            source = None if answer is None else _address(answer.get_attr("RTA_PREFSRC"))
            if source in own:
                return Way(server=server, source=source, metric=metric)
        # Rules may choose a routing table by the source address.
        for source in sorted(own, key=int):
            metric = self._metric(link.ifindex, server, source)
            if metric is not None:
                return Way(server=server, source=source, metric=metric)
        return None

    def _is_local(self, server: IPAddress) -> bool:
        answer = self._ask(_route_question(server, None))
        return answer is not None and answer["type"] == _RTN_LOCAL

    def _metric(self, ifindex: IfIndex, server: IPAddress, source: IPAddress | None) -> int | None:
        """Return the metric of the route over a link; None when there is no route."""
        question = _route_question(server, ifindex, source)
        # Without this the kernel takes every IPv4 address for a neighbour on a link that is named.
        question["flags"] = _RTM_F_FIB_MATCH
        answer = self._ask(question)
        if answer is None or answer["type"] != _RTN_UNICAST:
            return None
        # With a source address, the IPv6 code takes the link for no more than a wish.
        if answer.get_attr("RTA_MULTIPATH") is None and answer.get_attr("RTA_OIF") != ifindex:
            return None
        metric = answer.get_attr("RTA_PRIORITY")
        return metric if isinstance(metric, int) else 0

    def _translate(self, message: nlmsg_base, kind: int) -> Iterator[LinkMessage]:
        if kind in {_RTM_NEWLINK, _RTM_DELLINK}:
            # Bridges tell of their ports in the same way, under a family of their own.
            if message["family"] == socket.AF_UNSPEC:
                yield self._translate_link(message, kind)
        elif kind in {_RTM_NEWADDR, _RTM_DELADDR}:
            # IFA_ADDRESS is the far end of a point-to-point link.
            address = _address(message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS"))
            if address is not None and _may_be_source(address, message["scope"]):
                ifindex = IfIndex(message["index"])
                if kind == _RTM_NEWADDR and _is_settled(message):
                    yield AddressSeen(ifindex=ifindex, address=address)
                else:
                    yield AddressGone(ifindex=ifindex, address=address)

    def _translate_link(self, message: nlmsg_base, kind: int) -> LinkMessage:
        ifindex = IfIndex(message["index"])
        name = message.get_attr("IFLA_IFNAME")
        mtu = message.get_attr("IFLA_MTU")
        if kind == _RTM_DELLINK:
            self._mediums = {key: kept for key, kept in self._mediums.items() if key[0] != ifindex}
            return LinkGone(ifindex=ifindex)
        flags = message["flags"]
        return LinkSeen(
            ifindex=ifindex,
            is_up=bool(flags & _IFF_UP),
            has_carrier=bool(flags & _IFF_LOWER_UP and flags & _IFF_RUNNING),
            name=name if isinstance(name, str) else None,
            medium=self._medium(message, ifindex, name) if isinstance(name, str) else None,
            mtu=mtu if isinstance(mtu, int) else None,
        )

    def _medium(self, message: nlmsg_base, ifindex: IfIndex, name: str) -> LinkMedium:
        known = self._mediums.get((ifindex, name))
        if known is None:
            info = message.get_attr("IFLA_LINKINFO")
            kind = info.get_attr("IFLA_INFO_KIND") if isinstance(info, nlmsg_base) else None
            known = self._mediums[ifindex, name] = guess_medium(
                ifindex, name, kind if isinstance(kind, str) else "", message["ifi_type"]
            )
        return known

    def _dump(self, request: nlmsg_base, kind: int) -> list[nlmsg_base]:
        for _ in range(_DUMP_ATTEMPTS):
            found: list[nlmsg_base] = []
            was_interrupted = False
            for message in self._answers(request, kind, _NLM_F_DUMP):
                was_interrupted |= bool(message["header"]["flags"] & _NLM_F_DUMP_INTR)
                found.append(message)
            if not was_interrupted:
                return found
        raise HostError("cannot list the network links: they never stand still")

    def _ask(self, question: nlmsg_base) -> nlmsg_base | None:
        """Return the route that answers a question; None when there is none."""
        answers = list(self._answers(question, _RTM_GETROUTE, 0))
        return answers[0] if answers else None

    def _answers(self, request: nlmsg_base, kind: int, flags: int) -> Iterator[nlmsg_base]:
        self._sequence_number += 1
        header = request["header"]
        header["type"] = kind
        header["flags"] = flags | _NLM_F_REQUEST
        header["sequence_number"] = self._sequence_number
        request.encode()
        try:
            self._questions.send(request.data)
            while True:
                for message in self._answer_parser.parse(self._questions.recv(_READ_BYTES)):
                    if message["header"]["sequence_number"] != self._sequence_number:
                        continue  # the end of an answer that was given up
                    header = message["header"]
                    if header["error"] is not None or header["type"] == _NLMSG_DONE:
                        return
                    yield message
                    if not flags:
                        return
        except OSError as error:
            raise HostError(f"cannot ask about the network links: {error}") from error


def _open_socket(groups: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
    try:
        opened.bind((0, groups))
    except OSError:
        opened.close()
        raise
    return opened


def _route_question(
    server: IPAddress, ifindex: IfIndex | None, source: IPAddress | None = None
) -> rtmsg:
    question = rtmsg()
    question["family"] = socket.AF_INET if isinstance(server, IPv4Address) else socket.AF_INET6
    question["dst_len"] = server.max_prefixlen
    attributes: list[tuple[str, int | str]] = [("RTA_DST", str(server))]
    if ifindex is not None:
        attributes.append(("RTA_OIF", ifindex))
    if source is not None:
        question["src_len"] = source.max_prefixlen
        attributes.append(("RTA_SRC", str(source)))
    question["attrs"] = attributes
    return question


def _address(value: object) -> IPAddress | None:
    if isinstance(value, str):
        with suppress(ValueError):
            return ip_address(value)
    return None


def _may_be_source(address: IPAddress, scope: int) -> bool:
    return (
        scope < _RT_SCOPE_LINK
        and not address.is_link_local
        and not address.is_loopback
        and not address.is_multicast
        and not address.is_unspecified
    )


def _is_settled(message: nlmsg_base) -> bool:
    """Tell whether duplicate address detection has let the address pass."""
    flags = message.get_attr("IFA_FLAGS")
    flags = flags if isinstance(flags, int) else message["flags"]
    if flags & _IFA_F_DADFAILED:
        return False
    return not flags & _IFA_F_TENTATIVE or bool(flags & _IFA_F_OPTIMISTIC)
