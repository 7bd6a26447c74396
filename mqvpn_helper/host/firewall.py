"""The table of one TUN device: loaded when it differs, kept for the next boot when it must be."""

import logging
import os
import time
from pathlib import Path

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.nft_rules import Nft, portal_opening, ruleset
from mqvpn_helper.interface.host_plan import HostPlan, KillSwitchMode

_LOGGER = logging.getLogger(__name__)

DEFAULT_BOOT_DIRECTORY = Path("/etc/mqvpn")
"""Where the rules are that ``mqvpn-killswitch.service`` loads before the network is up."""


def boot_file(directory: Path, tun_name: str) -> Path:
    """Return the file with the kill switch of a TUN device for the next boot.

    Args:
        directory: where such files are.
        tun_name: the device.
    """
    return directory / f"kill-switch-{tun_name}.nft"


def seconds_since_boot() -> float:
    """Return CLOCK_BOOTTIME, which goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Firewall:
    """Brings the table of one TUN device to what a plan wants."""

    def __init__(self, nft: Nft, boot_directory: Path) -> None:
        """Take the tools.

        Args:
            nft: the nftables command.
            boot_directory: where rules for the next boot are.
        """
        self._nft = nft
        self._boot_directory = boot_directory
        self._loaded: tuple[str, object] | None = None

    def forget(self) -> None:
        """Forget what was loaded, because somebody else has removed it."""
        self._loaded = None

    def check(self, plan: HostPlan) -> bool:
        """Refuse rules that the kernel would refuse, changing nothing.

        Args:
            plan: desired state.

        Returns:
            Whether there are any.

        Raises:
            HostChangeError: the rules, or nftables itself, cannot be used here.
        """
        rules = ruleset(plan)
        if rules is not None and (self._loaded is None or self._loaded[0] != rules):
            self._nft.check(rules)
        return rules is not None

    def load(self, plan: HostPlan) -> bool:
        """Replace the table in one transaction; there is no moment without it.

        Args:
            plan: desired state.

        Returns:
            Whether somebody else had removed the table.

        Raises:
            HostChangeError: the rules in force are the ones from before.
        """
        rules = ruleset(plan)
        if rules is None:
            self._loaded = None
            return False
        portal = None if plan.kill_switch is None else plan.kill_switch.portal
        # Reloading the machine's own firewall often flushes every table, so look.
        was_loaded = self._loaded is not None
        is_there = was_loaded and plan.tun_name in self._nft.tun_names_with_table()
        if self._loaded == (rules, portal) and is_there:
            return False
        _LOGGER.debug("load the table of %s", plan.tun_name)
        self._nft.load(rules + portal_opening(plan, seconds_since_boot()))
        self._loaded = (rules, portal)
        if plan.kill_switch is not None and plan.kill_switch.mode is KillSwitchMode.ALWAYS:
            self._keep_for_boot(plan.tun_name, rules)
        return was_loaded and not is_there

    def _keep_for_boot(self, tun_name: str, rules: str) -> None:
        path = boot_file(self._boot_directory, tun_name)
        _LOGGER.debug("write %s", path)
        draft = path.with_suffix(".draft")
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            draft.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(draft, flags, 0o600), "w", encoding="ascii") as file:
                file.write(rules)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            raise HostChangeError(
                f"cannot write {path}, by which the kill switch is in force from boot on: {error}"
            ) from error
