"""A filter that takes system calls away from a process that needs none of them (seccomp(2)).

A list of what is refused, not of what is allowed: libraries change what they call, and a list of
allowed calls that is wrong breaks the tunnel. Everything on it is refused to a process without
capabilities anyway or widens what it can reach of the kernel; this takes away the second try.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_RET_ALLOW = 0x7FFF0000
_RET_KILL_PROCESS = 0x80000000
_RET_ERRNO = 0x00050000

_LOAD_WORD = 0x20
_IF_EQUAL = 0x15
_IF_AT_LEAST = 0x35
_IF_ANY_BIT = 0x45
_RETURN = 0x06

_NUMBER = 0
_ARCHITECTURE = 4
_FIRST_ARGUMENT = 16
_ARGUMENT_BYTES = 8

_INSTRUCTION_BYTES = 8
_X32_BIT = 0x40000000
_CLONE_NAMESPACES = 0x7E020080  # user, mount, network, PID, IPC, UTS, cgroup and time namespaces
_REFUSED_CONTROLS = (
    0x5412,  # TIOCSTI: type into somebody's terminal
    0x541C,  # TIOCLINUX: likewise
    0x400454CA,  # TUNSETIFF: another device
    0x400454CB,  # TUNSETPERSIST: let the device outlive us
    0x400454CC,  # TUNSETOWNER: give it to somebody
    0x400454CE,  # TUNSETGROUP: likewise
    0x400454CD,  # TUNSETLINK
    0x401054D5,  # TUNATTACHFILTER
    0x401054D6,  # TUNDETACHFILTER
    0x400454D9,  # TUNSETQUEUE
    0x800454E0,  # TUNSETSTEERINGEBPF
    0x800454E1,  # TUNSETFILTEREBPF
    0x400454E2,  # TUNSETCARRIER
)
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
_AF_NETLINK = 16
_NETLINK_ROUTE = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """How one architecture numbers its calls."""

    audit: int
    column: int
    socket: int
    clone: int
    ioctl: int


_CLONE3 = 435
_MACHINES: Mapping[str, _Machine] = MappingProxyType(
    {
        "x86_64": _Machine(audit=0xC000003E, column=0, socket=41, clone=56, ioctl=16),
        "aarch64": _Machine(audit=0xC00000B7, column=1, socket=198, clone=220, ioctl=29),
    }
)

# Numbers on x86_64 and on aarch64; None where the call does not exist.
_REFUSED: Mapping[str, tuple[int | None, int | None]] = MappingProxyType(
    {
        "acct": (163, 89),
        "add_key": (248, 217),
        "adjtimex": (159, 171),
        "bpf": (321, 280),
        "chroot": (161, 51),
        "clock_adjtime": (305, 266),
        "clock_settime": (227, 112),
        "delete_module": (176, 106),
        "fanotify_init": (300, 262),
        "finit_module": (313, 273),
        "fsconfig": (431, 431),
        "fsmount": (432, 432),
        "fsopen": (430, 430),
        "fspick": (433, 433),
        "init_module": (175, 105),
        "io_uring_enter": (426, 426),
        "io_uring_register": (427, 427),
        "io_uring_setup": (425, 425),
        "ioperm": (173, None),
        "iopl": (172, None),
        "kcmp": (312, 272),
        "kexec_file_load": (320, 294),
        "kexec_load": (246, 104),
        "keyctl": (250, 219),
        "lookup_dcookie": (212, 18),
        "memfd_secret": (447, 447),
        "migrate_pages": (256, 238),
        "mknod": (133, None),
        "mknodat": (259, 33),
        "modify_ldt": (154, None),
        "mount": (165, 40),
        "mount_setattr": (442, 442),
        "move_mount": (429, 429),
        "move_pages": (279, 239),
        "name_to_handle_at": (303, 264),
        "nfsservctl": (180, 42),
        "open_by_handle_at": (304, 265),
        "open_tree": (428, 428),
        "perf_event_open": (298, 241),
        "personality": (135, 92),
        "pidfd_getfd": (438, 438),
        "pivot_root": (155, 41),
        "process_madvise": (440, 440),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
        "ptrace": (101, 117),
        "quotactl": (179, 60),
        "quotactl_fd": (443, 443),
        "reboot": (169, 142),
        "request_key": (249, 218),
        "setdomainname": (171, 162),
        "sethostname": (170, 161),
        "setns": (308, 268),
        "settimeofday": (164, 170),
        "swapoff": (168, 225),
        "swapon": (167, 224),
        "syslog": (103, 116),
        "umount2": (166, 39),
        "unshare": (272, 97),
        "uselib": (134, None),
        "userfaultfd": (323, 282),
        "vhangup": (153, 58),
    }
)


def filter_program(architecture: str) -> bytes | None:
    """Return the filter as BPF instructions; None for an architecture that is not known here.

    Args:
        architecture: as `os.uname` names it.
    """
    machine = _MACHINES.get(architecture)
    if machine is None:
        return None
    refuse = _instruction(_RETURN, _RET_ERRNO | errno.EPERM)
    program = [
        _instruction(_LOAD_WORD, _ARCHITECTURE),
        _instruction(_IF_EQUAL, machine.audit, 1, 0),
        _instruction(_RETURN, _RET_KILL_PROCESS),
        _instruction(_LOAD_WORD, _NUMBER),
    ]
    if architecture == "x86_64":
        program += [_instruction(_IF_AT_LEAST, _X32_BIT, 0, 1), refuse]
    numbers = sorted(
        number for row in _REFUSED.values() if (number := row[machine.column]) is not None
    )
    for number in numbers:
        program += [_instruction(_IF_EQUAL, number, 0, 1), refuse]
    # The C library falls back to clone, whose flags can be looked at.
    program += [
        _instruction(_IF_EQUAL, _CLONE3, 0, 1),
        _instruction(_RETURN, _RET_ERRNO | errno.ENOSYS),
    ]
    program += _guarded(
        machine.clone, [_load(0), _instruction(_IF_ANY_BIT, _CLONE_NAMESPACES, 0, 1), refuse]
    )
    program += _guarded(
        machine.ioctl,
        [_load(1)]
        + [
            each
            for code in _REFUSED_CONTROLS
            for each in (_instruction(_IF_EQUAL, code, 0, 1), refuse)
        ],
    )
    program += _guarded(machine.socket, _socket_check(refuse))
    program.append(_instruction(_RETURN, _RET_ALLOW))
    return b"".join(program)


def install_filter() -> bool:
    """Put the filter in force for this process and all that come from it; it cannot be taken off.

    Returns:
        Whether this machine has it. No-new-privileges must be on.
    """
    code = filter_program(os.uname().machine)
    if code is None:
        return False
    instructions = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: how many, and where.
    program = struct.pack("@HP", len(code) // _INSTRUCTION_BYTES, ctypes.addressof(instructions))
    library = ctypes.CDLL(None, use_errno=True)
    result: int = library.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0)
    return result == 0


def _socket_check(refuse: bytes) -> list[bytes]:
    allowed = [
        _instruction(_IF_EQUAL, family, len(_FAMILIES) - place, 0)
        for place, family in enumerate(_FAMILIES)
    ]
    return [
        _load(0),
        *allowed,
        refuse,
        _instruction(_IF_EQUAL, _AF_NETLINK, 0, 3),
        _load(2),
        _instruction(_IF_EQUAL, _NETLINK_ROUTE, 1, 0),
        refuse,
    ]


def _guarded(number: int, body: list[bytes]) -> list[bytes]:
    """Return instructions that a call of this number goes through, and then is allowed."""
    allow = _instruction(_RETURN, _RET_ALLOW)
    return [_instruction(_IF_EQUAL, number, 0, len(body) + 1), *body, allow]


def _load(argument: int) -> bytes:
    return _instruction(_LOAD_WORD, _FIRST_ARGUMENT + argument * _ARGUMENT_BYTES)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
