"""What the helper does for the machine when there is no session: after a crash, and on request."""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio
from typing_extensions import override

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.firewall import DEFAULT_BOOT_DIRECTORY
from mqvpn_helper.host.journal import DamagedJournalError, Journal
from mqvpn_helper.host.operations import DEFAULT_STATE_DIRECTORY, HostChanger
from mqvpn_helper.host.process_identity import current_netns
from mqvpn_helper.interface.host_plan import KillSwitchMode

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
        state_directory: Path = DEFAULT_STATE_DIRECTORY,
        boot_directory: Path = DEFAULT_BOOT_DIRECTORY,
    ) -> None:
        """Take where the journal and the rules for the next boot are."""
        self._journal = Journal(state_directory)
        self._boot_directory = boot_directory
        self._owner_file = state_directory / "owner"
        self._changer = HostChanger(state_directory, boot_directory=boot_directory)
        self._limiter = trio.CapacityLimiter(1)

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
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with (
                self._journal.locked(),
                os.fdopen(os.open(self._owner_file, flags, 0o600), "w", encoding="ascii") as file,
            ):
                file.write(str(uid))
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
