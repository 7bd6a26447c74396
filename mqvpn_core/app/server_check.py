"""What may be wrong with a server of this machine, looked at from outside: the doctor.

Nothing is changed, and nothing leaves the machine unless somebody asks for another one. Each
finding is a subject, a verdict and a line that says what to do.
"""

import datetime as dt
import enum
import errno
import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mqvpn_core.app.certificates import check_server_files, load_certificates
from mqvpn_core.app.config_files import Sources, load_config
from mqvpn_core.app.control_client import fetch_status
from mqvpn_core.app.port_probe import Answer, Probe, addresses_of, ask_port
from mqvpn_core.app.privileges import missing_privilege
from mqvpn_core.app.server_init import WayOut, find_way_out
from mqvpn_core.config import HostPort, ServerConfig
from mqvpn_core.config.setting import Role
from mqvpn_core.errors import ConfigError, HostError
from mqvpn_core.runtime.udp_opening import RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES

_FEW_DAYS = 14
_LEAST_MTU = 1280  # RFC 8200 s5
_COMFORTABLE_MTU = 1400
_PATIENCE = 10.0
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104 - of a configuration


class Verdict(enum.Enum):
    """How bad a finding is."""

    GOOD = "ok"
    """As it should be."""
    DOUBTFUL = "warning"
    """It works, and may not for long, or not for everybody."""
    WRONG = "wrong"
    """A server does not work like this."""


_NOTHING_CAME = {
    Answer.REFUSAL: "the machine is there, and no server listens",
    Answer.SILENCE: (
        "nothing comes back: the server is off, a firewall before it drops the port, or the network"
        " here lets no UDP out"
    ),
    Answer.NO_WAY: "this machine has no way there",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    """What."""
    verdict: Verdict
    """How it is."""
    text: str
    """What was seen, and what to do."""


def _list_chains() -> str | None:
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return None
    done = subprocess.run(  # noqa: S603 - a program of the system, without input
        [program, "-j", "list", "chains"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
    )
    return done.stdout if done.returncode == 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where to look; tests have their own."""

    proc: Path = Path("/proc/sys")
    """Settings of the kernel."""
    net: Path = Path("/sys/class/net")
    """Network interfaces."""
    way_out: Callable[[], WayOut | None] = find_way_out
    """Where the default route leads."""
    privilege: Callable[[], str | None] = missing_privilege
    """What this process lacks for a tunnel."""
    chains: Callable[[], str | None] = _list_chains
    """``nft -j list chains``; None when it cannot be had."""
    ask: Callable[[str, int], Probe] = ask_port
    """Asks a server whether it is there."""


def examine(file: Path, machine: Machine, now: dt.datetime) -> tuple[Finding, ...]:
    """Look at everything.

    Args:
        file: the configuration of the server.
        machine: where to look.
        now: the time.
    """
    if _is_missing(file):
        text = f"{file} is not there: mqvpn-core server init makes a server"
        return (Finding(subject="settings", verdict=Verdict.WRONG, text=text),)
    try:
        config = load_config(Sources(role=Role.SERVER, file=file)).config
        assert isinstance(config, ServerConfig)  # the role says so
        warnings = check_server_files(config, now)
    except ConfigError as error:
        return (Finding(subject="settings", verdict=Verdict.WRONG, text=str(error)),)
    is_running = _is_running(config)
    return (
        *_settings(file, config, warnings),
        *_certificate(config, file, now),
        *_port(machine, config, is_running=is_running),
        *_kernel(machine, is_running=is_running),
        *_firewall(machine, config, is_running=is_running),
        *_way_out(machine),
    )


def examine_from_outside(
    server: HostPort, ask: Callable[[str, int], Probe] = ask_port
) -> tuple[Finding, ...]:
    """Look whether a server of another machine can be reached from this one.

    Args:
        server: where clients find it.
        ask: asks one address.
    """
    try:
        where = addresses_of(server.host, server.port)
    except OSError as error:
        text = f"cannot resolve {server.host}: {error.strerror}"
        return (Finding(subject="name", verdict=Verdict.WRONG, text=text),)
    probes = [ask(*each) for each in where]
    is_reached = any(probe.answer is Answer.VERSIONS for probe in probes)
    return tuple(_outcome(probe, server.port, is_reached=is_reached) for probe in probes)


def _outcome(probe: Probe, port: int, *, is_reached: bool) -> Finding:
    where = f"{probe.address}, UDP port {port}"
    if probe.answer is Answer.VERSIONS:
        text = f"{where}: answers after {probe.seconds * 1000:.0f} ms"
        return Finding(subject="port", verdict=Verdict.GOOD, text=text)
    # Without IPv6 here nothing is wrong with a server that has it.
    is_harmless = is_reached and probe.answer is Answer.NO_WAY
    verdict = Verdict.DOUBTFUL if is_harmless else Verdict.WRONG
    return Finding(subject="port", verdict=verdict, text=f"{where}: {_NOTHING_CAME[probe.answer]}")


def _settings(file: Path, config: ServerConfig, warnings: tuple[str, ...]) -> Iterator[Finding]:
    for warning in warnings:
        yield Finding(subject="settings", verdict=Verdict.DOUBTFUL, text=warning)
    if not config.users and config.shared_key is None:
        advice = "nobody can connect yet: mqvpn-core user add NAME"
        yield Finding(subject="users", verdict=Verdict.DOUBTFUL, text=advice)
    else:
        yield Finding(subject="users", verdict=Verdict.GOOD, text=f"{len(config.users)} in {file}")


def _certificate(config: ServerConfig, file: Path, now: dt.datetime) -> Iterator[Finding]:
    leaf = load_certificates(config.cert_file)[0]
    if now < leaf.not_valid_before_utc or now.timestamp() < file.stat().st_mtime:
        yield Finding(
            subject="clock",
            verdict=Verdict.WRONG,
            text=f"it says {now:%Y-%m-%d %H:%M} UTC, and files here are younger: set it",
        )
    else:
        yield Finding(subject="clock", verdict=Verdict.GOOD, text=f"{now:%Y-%m-%d %H:%M} UTC")
    days = (leaf.not_valid_after_utc - now).days
    verdict = Verdict.GOOD if days >= _FEW_DAYS else Verdict.DOUBTFUL
    text = f"valid for {days} more days"
    if days < 0:
        verdict, text = Verdict.WRONG, f"expired {-days} days ago: renew it, then reload the server"
    yield Finding(subject="certificate", verdict=verdict, text=text)


def _port(machine: Machine, config: ServerConfig, *, is_running: bool) -> Iterator[Finding]:
    for address in config.listen:
        where = f"UDP port {address.port}"
        if is_running:
            yield _answers(machine, address)
            continue
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((address.host, address.port))
        except OSError as error:
            text = f"{where} of {address.host} cannot be had: {error.strerror}"
            if error.errno == errno.EADDRINUSE:
                text += " by another program (ss -ulpn), or a server with another control socket"
            yield Finding(subject="port", verdict=Verdict.WRONG, text=text)
        else:
            text = f"{where} is free, and the server is not running"
            yield Finding(subject="port", verdict=Verdict.DOUBTFUL, text=text)


def _answers(machine: Machine, address: HostPort) -> Finding:
    where = f"UDP port {address.port}"
    probe = machine.ask(_ANY_ADDRESS.get(address.host, address.host), address.port)
    if probe.answer is not Answer.VERSIONS:
        text = f"the server runs, and does not answer at {where} on this machine itself"
        return Finding(subject="port", verdict=Verdict.WRONG, text=text)
    text = (
        f"the server answers; {where} has to be open in every firewall before it. From elsewhere"
        " this shows it: mqvpn-core server check --reach HOST"
    )
    return Finding(subject="port", verdict=Verdict.GOOD, text=text)


def _kernel(machine: Machine, *, is_running: bool) -> Iterator[Finding]:
    missing = machine.privilege()
    if missing is not None:
        yield Finding(subject="privilege", verdict=Verdict.DOUBTFUL, text=missing)
    forwards = _number(machine.proc / "net/ipv4/ip_forward") == 1
    if forwards or not is_running:
        text = "on" if forwards else "off; the server turns it on when it starts"
        yield Finding(subject="forwarding", verdict=Verdict.GOOD, text=text)
    else:
        text = "off although the server runs: somebody turned it off; restart the server"
        yield Finding(subject="forwarding", verdict=Verdict.WRONG, text=text)
    for name, wanted in (("rmem_max", RECEIVE_BUFFER_BYTES), ("wmem_max", SEND_BUFFER_BYTES)):
        limit = _number(machine.proc / "net/core" / name)
        if limit is None or limit >= wanted:
            yield Finding(subject="UDP buffers", verdict=Verdict.GOOD, text=f"{name} is enough")
        else:
            text = (
                f"{name} is {limit}; a server with CAP_NET_ADMIN goes beyond it, any other loses"
                f" packets in bursts: sysctl net.core.{name}={wanted}"
            )
            yield Finding(subject="UDP buffers", verdict=Verdict.DOUBTFUL, text=text)


def _firewall(machine: Machine, config: ServerConfig, *, is_running: bool) -> Iterator[Finding]:
    listing = machine.chains()
    if listing is None:
        text = "nft cannot be asked: it is not installed, or this is not root"
        yield Finding(subject="NAT", verdict=Verdict.DOUBTFUL, text=text)
        return
    chains = [item["chain"] for item in json.loads(listing)["nftables"] if "chain" in item]
    table = f"mqvpn_{config.tun_name}"
    if config.nat and is_running and not any(each["table"] == table for each in chains):
        text = f"the table {table} is gone: somebody emptied the firewall; restart the server"
        yield Finding(subject="NAT", verdict=Verdict.WRONG, text=text)
    else:
        text = "in force" if is_running else "made when the server starts"
        yield Finding(subject="NAT", verdict=Verdict.GOOD, text=text if config.nat else "off")
    for chain in chains:
        if chain.get("policy") == "drop" and not chain["table"].startswith("mqvpn_"):
            wanted = {
                "input": f"UDP port {config.listen[0].port}",
                "forward": f"packets from and to {config.tun_name}",
            }.get(chain.get("hook", ""))
            if wanted is not None:
                where = f"{chain['family']} {chain['table']} {chain['name']}"
                text = f"the chain {where} drops by default: it has to accept {wanted}"
                yield Finding(subject="firewall", verdict=Verdict.DOUBTFUL, text=text)


def _way_out(machine: Machine) -> Iterator[Finding]:
    way = machine.way_out()
    if way is None:
        text = "no default route: clients reach nothing beyond this machine"
        yield Finding(subject="way out", verdict=Verdict.WRONG, text=text)
        return
    text = f"{way.interface}, address {way.address}"
    if not way.is_public:
        text += ", which is private: the router before it has to forward the UDP port"
    verdict = Verdict.GOOD if way.is_public else Verdict.DOUBTFUL
    yield Finding(subject="way out", verdict=verdict, text=text)
    mtu = _number(machine.net / way.interface / "mtu")
    if mtu is not None:
        verdict = Verdict.GOOD if mtu >= _COMFORTABLE_MTU else Verdict.DOUBTFUL
        verdict = Verdict.WRONG if mtu < _LEAST_MTU else verdict
        yield Finding(subject="MTU", verdict=verdict, text=f"{mtu} bytes on {way.interface}")


def _is_missing(file: Path) -> bool:
    try:
        file.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # it may be there; who reads it says why not
    return False


def _is_running(config: ServerConfig) -> bool:
    if config.control_socket is None:
        return False
    try:
        fetch_status(config.control_socket)
    except HostError:
        return False
    return True


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
