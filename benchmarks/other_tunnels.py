"""Tunnels of others, for comparison: wireguard-go and OpenVPN, where they are installed.

Both in the same place as ours, between the same two machines: a process at each end, a TUN device,
UDP between them. wireguard-go is set up by its own socket, so that no other tool is needed;
OpenVPN without its kernel module, with certificates that each side knows by their fingerprints.
"""

import datetime as dt
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mqvpn_core.app.certificates import (
    CertificateFiles,
    load_certificates,
    make_self_signed,
    write_certificate,
)
from mqvpn_core.demo.namespaces import NetworkNamespace
from mqvpn_core.demo.programs import Program, ProgramError

SERVER = "10.0.0.1"
"""Address of the server inside, as with our tunnel."""
CLIENT = "10.0.0.2"
"""Address of the client inside."""

_PORT = 51820
_PATIENCE = 15.0
_POLL = 0.1
_DAYS = 2
_WIREGUARD_MTU = 1420
_WIREGUARD_SOCKETS = Path("/var/run/wireguard")

_Tunnel = tuple[Program, Program]


def found() -> tuple[str, ...]:
    """Names of the programs that this machine has."""
    return tuple(name for name in STARTERS if shutil.which(name, path=_PATH) is not None)


def wireguard_go(
    client: NetworkNamespace, server: NetworkNamespace, outer: str, folder: Path
) -> _Tunnel:
    """Start wireguard-go at both ends and wait until packets pass.

    Args:
        client: the machine that begins.
        server: the machine that listens.
        outer: address of the server on the link.
        folder: for logs.
    """
    keys = [X25519PrivateKey.generate() for _ in range(2)]
    programs = []
    for number, (machine, own) in enumerate(((client, CLIENT), (server, SERVER))):
        # Their sockets share a directory, whatever namespace they are in.
        device = f"wg{os.getpid() % 10**8}{'cs'[number]}"
        log = folder / f"wireguard-{number}.log"
        process = machine.start(["wireguard-go", "--foreground", device], log)
        program = Program(
            name="wireguard-go",
            process=process,
            log=log,
            control_socket=_WIREGUARD_SOCKETS / f"{device}.sock",
        )
        _wait(program.control_socket.exists, program)
        settings = {
            "private_key": keys[number].private_bytes_raw().hex(),
            "listen_port": str(_PORT),
            "public_key": keys[1 - number].public_key().public_bytes_raw().hex(),
            "allowed_ip": "10.0.0.0/24",
        }
        if machine is client:
            settings["endpoint"] = f"{outer}:{_PORT}"
        _tell_wireguard(program, settings)
        machine.set_mtu(device, _WIREGUARD_MTU)
        machine.add_address(device, f"{own}/24")
        machine.set_link(device, up=True)
        programs.append(program)
    near, far = programs
    _wait(lambda: _answers(client, folder), near)
    return near, far


def openvpn(
    client: NetworkNamespace, server: NetworkNamespace, outer: str, folder: Path
) -> _Tunnel:
    """Start OpenVPN at both ends and wait until packets pass; arguments as above."""
    prints = []
    for side in ("client", "server"):
        files = CertificateFiles(
            cert_file=folder / f"{side}.crt", key_file=folder / f"{side}.key", overwrite=True
        )
        write_certificate(make_self_signed([side], _DAYS, dt.datetime.now(dt.UTC)), files)
        prints.append(load_certificates(files.cert_file)[0].fingerprint(hashes.SHA256()).hex(":"))
    programs = []
    ends = ((server, "server", SERVER, CLIENT), (client, "client", CLIENT, SERVER))
    for machine, side, own, other in ends:
        log = folder / f"openvpn-{side}.log"
        command = [
            *("openvpn", "--dev", "tun0", "--proto", "udp4", "--port", str(_PORT), "--disable-dco"),
            *("--ifconfig", own, other, f"--tls-{side}", "--data-ciphers", "AES-128-GCM"),
            *("--cert", str(folder / f"{side}.crt"), "--key", str(folder / f"{side}.key")),
            *("--peer-fingerprint", prints[1 if side == "client" else 0]),
            *(("--dh", "none") if side == "server" else ("--remote", outer)),
        ]
        process = machine.start(command, log)
        programs.append(
            Program(name="openvpn", process=process, log=log, control_socket=folder / "none")
        )
    far, near = programs
    _wait(lambda: _answers(client, folder), near)
    return near, far


_Starter = Callable[[NetworkNamespace, NetworkNamespace, str, Path], _Tunnel]
STARTERS: Mapping[str, _Starter] = MappingProxyType(
    {"wireguard-go": wireguard_go, "openvpn": openvpn}
)
"""How to start them, by the name of the program."""

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _tell_wireguard(program: Program, settings: Mapping[str, str]) -> None:
    """Speak the configuration protocol of userspace implementations."""
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_PATIENCE)
        asking.connect(str(program.control_socket))
        asking.sendall(f"set=1\n{lines}\n".encode())
        answer = asking.recv(1000).decode()
    if "errno=0" not in answer:
        raise ProgramError(f"wireguard-go does not take its settings: {answer.strip()}")


def _answers(client: NetworkNamespace, folder: Path) -> bool:
    command = ["ping", "-n", "-c", "1", "-W", "1", SERVER]
    return client.start(command, folder / "ping.log").wait(_PATIENCE) == 0


def _wait(condition: Callable[[], bool], program: Program) -> None:
    deadline = time.perf_counter() + _PATIENCE
    while not condition():
        if time.perf_counter() > deadline or program.process.poll() is not None:
            raise ProgramError(f"{program.name} does not come up:\n{program.log_tail()}")
        time.sleep(_POLL)
