"""The filter of system calls, run by an interpreter of its own: what is refused, what is not."""

import errno
import struct

import pytest

from mqvpn_helper.session.seccomp import filter_program

ALLOW = 0x7FFF0000
KILL = 0x80000000
EPERM = 0x00050000 | errno.EPERM
ENOSYS = 0x00050000 | errno.ENOSYS
X86_64 = 0xC000003E
AARCH64 = 0xC00000B7


def _decide(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Run the filter as the kernel does (seccomp_data, classic BPF)."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=iIQ6Q", number, architecture, 0, *padded)
    accumulator = 0
    place = 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("=HBBI", program, place * 8)
        place += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x15:
                place += if_true if accumulator == value else if_false
            case 0x35:
                place += if_true if accumulator >= value else if_false
            case 0x45:
                place += if_true if accumulator & value else if_false
            case 0x06:
                assert isinstance(value, int)
                return value
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


# Number on x86_64, number on aarch64, arguments, verdict.
_CALLS = {
    "read": (0, 63, (), ALLOW),
    "sendmmsg": (307, 269, (), ALLOW),
    "openat": (257, 56, (), ALLOW),
    "execve": (59, 221, (), ALLOW),  # the way into the core; landlock names the one program
    "mount": (165, 40, (), EPERM),
    "ptrace": (101, 117, (), EPERM),
    "bpf": (321, 280, (), EPERM),
    "io_uring_setup": (425, 425, (), EPERM),
    "unshare": (272, 97, (), EPERM),
    "setns": (308, 268, (), EPERM),
    "keyctl": (250, 219, (), EPERM),
    "userfaultfd": (323, 282, (), EPERM),
    "thread": (56, 220, (0x3D0F00,), ALLOW),
    "clone with a user namespace": (56, 220, (0x10000000,), EPERM),
    "clone with a network namespace": (56, 220, (0x40000000,), EPERM),
    "clone3": (435, 435, (), ENOSYS),
    "ioctl": (16, 29, (3, 0x800454D2), ALLOW),
    "ioctl TUNSETOFFLOAD": (16, 29, (3, 0x400454D0), ALLOW),
    "ioctl TUNSETPERSIST": (16, 29, (3, 0x400454CB), EPERM),
    "ioctl TUNSETIFF": (16, 29, (3, 0x400454CA), EPERM),
    "ioctl TUNSETOWNER": (16, 29, (3, 0x400454CC), EPERM),
    "ioctl TUNSETCARRIER": (16, 29, (3, 0x400454E2), EPERM),
    "ioctl TIOCSTI": (16, 29, (0, 0x5412), EPERM),
    "ioctl TIOCSTI with high bits": (16, 29, (0, 0xFFFFFFFF00005412), EPERM),
    "socket AF_INET": (41, 198, (2, 2), ALLOW),
    "socket AF_INET6": (41, 198, (10, 2), ALLOW),
    "socket AF_UNIX": (41, 198, (1, 1), ALLOW),
    "socket NETLINK_ROUTE": (41, 198, (16, 3, 0), ALLOW),
    "socket NETLINK_NETFILTER": (41, 198, (16, 3, 12), EPERM),
    "socket NETLINK_GENERIC": (41, 198, (16, 3, 16), EPERM),
    "socket AF_PACKET": (41, 198, (17, 3), EPERM),
    "socket AF_VSOCK": (41, 198, (40, 1), EPERM),
    "socket AF_ALG": (41, 198, (38, 5), EPERM),
}


@pytest.mark.parametrize("name", _CALLS)
def test_decisions(name: str) -> None:
    on_x86_64, on_aarch64, arguments, verdict = _CALLS[name]
    for machine, audit, number in (
        ("x86_64", X86_64, on_x86_64),
        ("aarch64", AARCH64, on_aarch64),
    ):
        program = filter_program(machine)
        assert program is not None
        assert _decide(program, audit, number, *arguments) == verdict


def test_calls_of_another_architecture_end_the_process() -> None:
    program = filter_program("x86_64")
    assert program is not None
    assert _decide(program, 0x40000003, 3) == KILL  # i386
    assert _decide(program, X86_64, 0x40000000 | 165) == EPERM  # x32


def test_every_path_through_the_filter_ends() -> None:
    """The kernel refuses a filter with a jump past its end; so does this."""
    for machine, audit in (("x86_64", X86_64), ("aarch64", AARCH64)):
        program = filter_program(machine)
        assert program is not None
        assert len(program) // 8 < 4096
        for number in range(600):
            assert _decide(program, audit, number) in {ALLOW, EPERM, ENOSYS}


def test_an_unknown_machine_has_no_filter() -> None:
    assert filter_program("pdp11") is None
