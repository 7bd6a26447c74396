"""What the helper does for the machine when there is no session: after a crash, and on request."""

import logging
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio
from typing_extensions import override

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.firewall import DEFAULT_BOOT_DIRECTORY
from mqvpn_helper.host.firewall_news import FirewallNews
from mqvpn_helper.host.held_kill_switches import HeldKillSwitches
from mqvpn_helper.host.journal import DamagedJournalError, Journal
from mqvpn_helper.host.nft_rules import Nft
from mqvpn_helper.host.operations import DEFAULT_STATE_DIRECTORY, HostChanger
from mqvpn_helper.host.private_files import replace_file
from mqvpn_helper.host.process_identity import current_netns
from mqvpn_helper.interface.host_plan import KillSwitchMode
from mqvpn_helper.session.secret_shelf import SecretShelf
from mqvpn_helper.session.tunnel_memory import WantedTunnel, recall

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFindings:
    """What can be told of the machine without naming anybody."""

    has_tun: bool
    """The kernel has TUN devices."""
    has_nft: bool
    """The nftables program is installed."""
    journal: tuple[str, ...]
    """TUN devices whose journal speaks of changes."""
    boot_rules: tuple[str, ...]
    """Files of kill switches that the next boot loads."""


class MachineCare(Protocol):
    """Looks after the machine; every method may raise HostChangeError."""

    async def recall(self) -> WantedTunnel | None:
        """Return the tunnel that an earlier helper had when it ended, if it can be had again."""
        ...

    async def hold_kill_switches(self) -> None:
        """Look after the kill switches that are in force without a tunnel."""

    def let_go(self) -> None:
        """Look after them no more."""

    async def follow_firewall(self, put_back: Callable[[str], None]) -> None:
        """Put back at once what others remove of what is held, and say so, until cancelled."""

    async def reconcile(self) -> tuple[str, ...]:
        """Take back what a helper that died had changed, all but kill switches; say what."""
        ...

    async def recover(self) -> tuple[str, ...]:
        """Take back everything that is left of tunnels that are over, kill switches too."""
        ...

    async def kill_switch(self) -> KillSwitchMode:
        """Return the strongest kill switch that is in force, tunnel or not."""
        ...

    async def findings(self) -> MachineFindings:
        """Look at what matters for a diagnosis."""
        ...

    async def remember_owner(self, uid: int) -> None:
        """Note, for the helper after this one, whose tunnel this is."""
        ...

    async def last_owner(self) -> int | None:
        """Return whose tunnel the last one was; None when nobody knows."""
        ...


class LocalMachineCare(MachineCare):
    """The machine that this process runs on; one call at a time, in a thread."""

    def __init__(
        self,
        shelf: SecretShelf,
        state_directory: Path = DEFAULT_STATE_DIRECTORY,
        boot_directory: Path = DEFAULT_BOOT_DIRECTORY,
    ) -> None:
        """Take where secrets, the journal and the rules for the next boot are."""
        self._journal = Journal(state_directory)
        self._boot_directory = boot_directory
        self._owner_file = state_directory / "owner"
        self._changer = HostChanger(state_directory, boot_directory=boot_directory)
        self._held = HeldKillSwitches(self._journal, Nft(), boot_directory)
        self._shelf = shelf
        self._limiter = trio.CapacityLimiter(1)

    @override
    async def recall(self) -> WantedTunnel | None:
        """Return the tunnel that an earlier helper had when it ended, if it can be had again."""
        directory, shelf = self._journal.directory, self._shelf
        return await trio.to_thread.run_sync(recall, directory, shelf, limiter=self._limiter)

    @override
    async def hold_kill_switches(self) -> None:
        """Look after the kill switches that are in force without a tunnel."""
        await trio.to_thread.run_sync(self._held.look, limiter=self._limiter)

    @override
    def let_go(self) -> None:
        """Look after them no more."""
        self._held.let_go()

    @override
    async def follow_firewall(self, put_back: Callable[[str], None]) -> None:
        """Put back at once what others remove of what is held, and say so, until cancelled."""
        with closing(FirewallNews()) as news:
            while True:
                await trio.lowlevel.wait_readable(news.fileno())
                if not news.take():
                    continue
                held = self._held.put_back
                try:
                    for name in await trio.to_thread.run_sync(held, limiter=self._limiter):
                        put_back(name)
                except HostChangeError:
                    _log.exception("a kill switch could not be put back")

    @override
    async def reconcile(self) -> tuple[str, ...]:
        """Take back what a helper that died had changed, all but kill switches; say what."""
        return await trio.to_thread.run_sync(self._changer.recover, limiter=self._limiter)

    @override
    async def recover(self) -> tuple[str, ...]:
        """Take back everything that is left of tunnels that are over, kill switches too."""
        return await trio.to_thread.run_sync(
            lambda: self._changer.recover(release_kill_switch=True), limiter=self._limiter
        )

    @override
    async def kill_switch(self) -> KillSwitchMode:
        """Return the strongest kill switch that is in force, tunnel or not."""
        return await trio.to_thread.run_sync(self._read_kill_switch, limiter=self._limiter)

    @override
    async def findings(self) -> MachineFindings:
        """Look at what matters for a diagnosis."""
        return await trio.to_thread.run_sync(self._read_findings, limiter=self._limiter)

    @override
    async def remember_owner(self, uid: int) -> None:
        """Note, for the helper after this one, whose tunnel this is."""
        await trio.to_thread.run_sync(self._write_owner, uid, limiter=self._limiter)

    @override
    async def last_owner(self) -> int | None:
        """Return whose tunnel the last one was; None when nobody knows."""
        return await trio.to_thread.run_sync(self._read_owner, limiter=self._limiter)

    def _write_owner(self, uid: int) -> None:
        try:
            with self._journal.locked():
                replace_file(self._owner_file, str(uid).encode("ascii"))
        except OSError as error:
            raise HostChangeError(f"cannot write {self._owner_file}: {error}") from error

    def _read_owner(self) -> int | None:
        try:
            text = self._owner_file.read_text(encoding="ascii")
        except (OSError, ValueError):
            return None
        return int(text) if text.isdigit() else None

    def _read_kill_switch(self) -> KillSwitchMode:
        if self._boot_rules():
            return KillSwitchMode.ALWAYS
        modes = set()
        with self._journal.locked():
            for name in self._journal.tun_names(current_netns()):
                try:
                    record = self._journal.read(name, current_netns())
                except DamagedJournalError as error:
                    _log.warning("%s", error)
                    continue
                modes.add(KillSwitchMode.OFF if record is None else record.kill_switch)
        order = (KillSwitchMode.ALWAYS, KillSwitchMode.STANDARD)
        return next((each for each in order if each in modes), KillSwitchMode.OFF)

    def _read_findings(self) -> MachineFindings:
        with self._journal.locked():
            names = tuple(self._journal.tun_names(current_netns()))
        return MachineFindings(
            has_tun=Path("/dev/net/tun").is_char_device(),
            has_nft=shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin") is not None,
            journal=names,
            boot_rules=tuple(path.name for path in self._boot_rules()),
        )

    def _boot_rules(self) -> list[Path]:
        try:
            return sorted(self._boot_directory.glob("kill-switch-*.nft"))
        except OSError as error:
            raise HostChangeError(f"cannot look into {self._boot_directory}: {error}") from error
