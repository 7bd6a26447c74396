"""Sockets that share a UDP port, and the kernel's filter that gives each packet to one of them.

The filter is `quic/connection_steering` in the kernel's own words: classic BPF, which needs no
privilege, evaluated for each packet (SO_ATTACH_REUSEPORT_CBPF). Its result is the place of a
socket in the order in which they were bound, so all are opened at once by one process, which keeps
them open: when one goes, the kernel moves the last one to its place.
"""

import ctypes
import errno
import os
import socket
import struct
from contextlib import ExitStack
from dataclasses import dataclass

from mqvpn_core.errors import HostError
from mqvpn_core.ids import SocketAddress
from mqvpn_core.quic.connection_steering import SteeringKey
from mqvpn_core.runtime.udp_opening import UdpOptions, open_udp

_SO_ATTACH_REUSEPORT_CBPF = 51

_INSTRUCTION = struct.Struct("=HBBI")  # linux/filter.h: struct sock_filter
_PROGRAM = struct.Struct("@HP")  # struct sock_fprog

# linux/bpf_common.h
_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS: big-endian; what ends before that gives socket 0
_LOAD_BYTE = 0x30  # BPF_LD | BPF_B | BPF_ABS
_JUMP_IF_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_MULTIPLY = 0x24  # BPF_ALU | BPF_MUL | BPF_K
_ADD = 0x04  # BPF_ALU | BPF_ADD | BPF_K
_ADD_OTHER = 0x0C  # BPF_ALU | BPF_ADD | BPF_X
_SHIFT_RIGHT = 0x74  # BPF_ALU | BPF_RSH | BPF_K
_MODULO = 0x94  # BPF_ALU | BPF_MOD | BPF_K
_KEEP = 0x07  # BPF_MISC | BPF_TAX
_RETURN = 0x16  # BPF_RET | BPF_A

_LONG_HEADER = 0x80
_CID_OF_SHORT_HEADER = 1  # RFC 9000 s17.3
_CID_OF_LONG_HEADER = 6  # RFC 8999 s5.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPort:
    """An address that several sockets have together."""

    sockets: tuple[socket.socket, ...]
    """The sockets, one for each worker in order."""
    local_address: SocketAddress
    """Their address."""

    def close(self) -> None:
        """Close all of them."""
        for each in self.sockets:
            each.close()


def steering_program(key: SteeringKey, count: int) -> bytes:
    """Return `ConnectionSteering.worker_of` as a program for the kernel.

    Args:
        key: the key.
        count: how many sockets there are.
    """
    short, long = (
        _of_connection_id(start, key, count)
        for start in (_CID_OF_SHORT_HEADER, _CID_OF_LONG_HEADER)
    )
    head = [(_LOAD_BYTE, 0, 0, 0), (_JUMP_IF_ANY_BIT, len(short), 0, _LONG_HEADER)]
    return b"".join(_INSTRUCTION.pack(*each) for each in (*head, *short, *long))


def _of_connection_id(start: int, key: SteeringKey, count: int) -> list[tuple[int, int, int, int]]:
    return [
        (_LOAD_WORD, 0, 0, start),
        (_MULTIPLY, 0, 0, key.first),
        (_KEEP, 0, 0, 0),
        (_LOAD_WORD, 0, 0, start + 4),
        (_MULTIPLY, 0, 0, key.second),
        (_ADD_OTHER, 0, 0, 0),
        (_ADD, 0, 0, key.offset),
        (_SHIFT_RIGHT, 0, 0, 16),
        (_MODULO, 0, 0, count),
        (_RETURN, 0, 0, 0),
    ]


def open_shared(local: SocketAddress, key: SteeringKey, count: int) -> SharedPort:
    """Open sockets that share an address; packets reach that of the place their ID leads to.

    Args:
        local: the address; port 0 lets the kernel choose one for all.
        key: the key.
        count: how many.

    Raises:
        HostError: the address cannot be had, or the kernel takes no filter.
    """
    _refuse_taken(local)
    with ExitStack() as opened:
        options = UdpOptions(is_shared=True)
        sockets = [opened.enter_context(open_udp(local, options))]
        address = SocketAddress(local.host, sockets[0].getsockname()[1])
        sockets += [opened.enter_context(open_udp(address, options)) for _ in range(1, count)]
        _attach(sockets[0], steering_program(key, count))
        opened.pop_all()
    return SharedPort(sockets=tuple(sockets), local_address=address)


def _refuse_taken(local: SocketAddress) -> None:
    """Refuse an address that another program of the same user would share with us."""
    if local.port:
        open_udp(local, UdpOptions()).close()


def _attach(shared: socket.socket, program: bytes) -> None:
    instructions = ctypes.create_string_buffer(program, len(program))
    count = len(program) // _INSTRUCTION.size
    described = _PROGRAM.pack(count, ctypes.addressof(instructions))
    try:
        shared.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, described)
    except OSError as error:
        reason = os.strerror(error.errno or errno.EINVAL)
        raise HostError(
            f"this kernel does not spread packets over processes ({reason}); use workers = 1"
        ) from error
