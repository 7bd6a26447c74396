"""The journal: what we changed that would outlive us, on disk before it is changed.

One small file for each TUN device and network namespace, replaced as a whole (write, fsync,
rename, fsync of the directory), so that it is never half written. What dies with the TUN device
(its addresses and the routes through it) needs no journal.

The directory must belong to root or to us and be writable by nobody else. Files are opened
without following links, read up to a bound and checked field by field: a damaged file is reported
and removed, and can at most make us look for a route or a table that is not there.
"""

import fcntl
import json
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.process_identity import ProcessIdentity
from mqvpn_helper.host.sysctls import ForwardingGroup, is_link_setting, is_restorable
from mqvpn_helper.host.tun import check_tun_name
from mqvpn_helper.interface.host_plan import DnsMethod, IPAddress, IPNetwork, KillSwitchMode

_LOGGER = logging.getLogger(__name__)
_FORMAT_VERSION = 1
_MAX_FILE_BYTES = 4 * 1024 * 1024
_MAX_BYPASS = 4096
_MAX_SETTINGS = 32768
_FILE_PATTERN = re.compile(r"(?P<tun>[A-Za-z0-9_.-]{1,15})@(?P<netns>[0-9a-f]{1,16})\.journal")
_INSTANCE_PATTERN = re.compile(r"[A-Za-z0-9_-]{0,64}")
_LOCK_NAME = "lock"
_LOCK_ATTEMPTS = 100
_LOCK_PAUSE = 0.1


class DamagedJournalError(HostChangeError):
    """A journal file does not follow its format, or is not a file of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRecord:
    """What one instance changed, or is about to change, outside its TUN device."""

    owner: ProcessIdentity
    """The process that does it."""
    tun_name: str
    """Its TUN device."""
    netns: int
    """The network namespace."""
    bypass: tuple[IPAddress, ...] = ()
    """Addresses that have a host route of ours over a physical link."""
    has_table: bool = False
    """The nftables table of the TUN device exists."""
    settings: Mapping[ForwardingGroup, Mapping[str, str]] = field(default_factory=dict)
    """Kernel settings as they were before any instance changed them."""
    instance: str = ""
    """Random name of the instance, which the next one of this TUN device takes over."""
    kill_switch: KillSwitchMode = KillSwitchMode.OFF
    """The table blocks traffic outside the tunnel; for ``ALWAYS`` the rules for the next boot exist
    as well."""
    excluded: tuple[IPNetwork, ...] = ()
    """Networks that have a route of ours over a physical link."""
    link_settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of single links as they were before any instance changed them."""
    has_rules: bool = False
    """Policy rules of ours lead past the tunnel."""
    dns: DnsMethod = DnsMethod.NONE
    """Who was told about the tunnel's name servers."""

    @property
    def has_changes(self) -> bool:
        """Whether there would be something to undo."""
        return bool(
            self.bypass
            or self.has_table
            or self.settings
            or self.excluded
            or self.link_settings
            or self.has_rules
            or self.dns is not DnsMethod.NONE
        )


class Journal:
    """The directory of journal files."""

    def __init__(self, directory: Path) -> None:
        """Name the directory; it is made when first locked.

        Args:
            directory: where the files are; it should not survive a reboot.
        """
        self._directory = directory

    @property
    def directory(self) -> Path:
        """Where the files are."""
        return self._directory

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other instance from changing the machine meanwhile.

        Raises:
            HostChangeError: the directory cannot be used, or another instance is stuck.
        """
        self._prepare_directory()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            lock = os.open(self._directory / _LOCK_NAME, flags, 0o600)
        except OSError as error:
            raise HostChangeError(f"cannot open the lock in {self._directory}: {error}") from error
        try:
            self._wait_for(lock)
            yield
        finally:
            os.close(lock)

    def read(self, tun_name: str, netns: int) -> JournalRecord | None:
        """Return the record of one TUN device; None when there is none.

        Raises:
            DamagedJournalError: the file cannot be trusted.
        """
        path = self._path(tun_name, netns)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DamagedJournalError(f"journal {path} cannot be opened: {error}") from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or not _is_trusted(status):
                raise DamagedJournalError(f"journal {path} is not a file of ours")
            with os.fdopen(fd, "rb", closefd=False) as file:
                data = file.read(_MAX_FILE_BYTES + 1)
        finally:
            os.close(fd)
        record = _decode(data, path)
        if record.tun_name != tun_name or record.netns != netns:
            raise DamagedJournalError(f"journal {path} speaks of another TUN device")
        return record

    def write(self, record: JournalRecord) -> None:
        """Put a record on disk; when this returns it survives a crash.

        Args:
            record: the whole truth about one TUN device.
        """
        path = self._path(record.tun_name, record.netns)
        draft = path.with_suffix(".draft")
        try:
            _LOGGER.debug("write the journal %s", path.name)
            draft.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
                file.write(_encode(record))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            self._sync_directory()
        except OSError as error:
            raise HostChangeError(f"cannot write the journal {path}: {error}") from error

    def remove(self, tun_name: str, netns: int) -> None:
        """Remove the file of one TUN device, whatever it is.

        Args:
            tun_name: the device.
            netns: its network namespace.
        """
        path = self._path(tun_name, netns)
        _LOGGER.debug("remove the journal %s", path.name)
        try:
            path.unlink(missing_ok=True)
            self._sync_directory()
        except OSError as error:
            raise HostChangeError(f"cannot remove the journal {path}: {error}") from error

    def tun_names(self, netns: int) -> tuple[str, ...]:
        """Return the TUN devices of a network namespace that have a journal.

        Args:
            netns: the network namespace.
        """
        try:
            names = sorted(entry.name for entry in os.scandir(self._directory))
        except FileNotFoundError:
            return ()
        matches = (_FILE_PATTERN.fullmatch(name) for name in names)
        return tuple(
            match["tun"] for match in matches if match and int(match["netns"], 16) == netns
        )

    def _path(self, tun_name: str, netns: int) -> Path:
        return self._directory / f"{tun_name}@{netns:x}.journal"

    def _prepare_directory(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self._directory.lstat()
        except PermissionError as error:
            raise HostChangeError(
                f"cannot use the state directory {self._directory}: permission denied; run as "
                "root, or give the service a state directory of its own and CAP_NET_ADMIN"
            ) from error
        except OSError as error:
            raise HostChangeError(
                f"cannot make the state directory {self._directory}: {error}"
            ) from error
        if not stat.S_ISDIR(status.st_mode) or not _is_trusted(status):
            raise HostChangeError(
                f"the state directory {self._directory} must be a directory of root (or of the "
                "user mqvpn runs as) that nobody else can write to"
            )

    def _wait_for(self, lock: int) -> None:
        for _ in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE)
            else:
                return
        raise HostChangeError(
            f"another mqvpn process has held {self._directory / _LOCK_NAME} for "
            f"{_LOCK_ATTEMPTS * _LOCK_PAUSE:.0f} seconds"
        )

    def _sync_directory(self) -> None:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _is_trusted(status: os.stat_result) -> bool:
    return status.st_uid in {0, os.geteuid()} and not status.st_mode & 0o022


def _encode(record: JournalRecord) -> bytes:
    content = {
        "version": _FORMAT_VERSION,
        "pid": record.owner.pid,
        "start_time": record.owner.start_time,
        "boot_id": record.owner.boot_id,
        "tun_name": record.tun_name,
        "netns": record.netns,
        "bypass": [str(address) for address in record.bypass],
        "has_table": record.has_table,
        "settings": {group.value: dict(saved) for group, saved in record.settings.items()},
        "instance": record.instance,
        "kill_switch": record.kill_switch.value,
        "excluded": [str(network) for network in record.excluded],
        "link_settings": dict(record.link_settings),
        "has_rules": record.has_rules,
        "dns": record.dns.value,
    }
    return json.dumps(content, indent=1).encode("ascii")


def _decode(data: bytes, path: Path) -> JournalRecord:
    if len(data) > _MAX_FILE_BYTES:
        raise DamagedJournalError(f"journal {path} is too long")
    try:
        content: object = json.loads(data.decode("ascii"))
        return _record(content)
    except (ValueError, RecursionError, HostChangeError) as error:
        raise DamagedJournalError(f"journal {path} is damaged: {error}") from error


def _record(content: object) -> JournalRecord:
    if not isinstance(content, dict) or content.get("version") != _FORMAT_VERSION:
        raise ValueError("unknown version")
    fields: dict[object, object] = content
    tun_name = _string(fields.get("tun_name"))
    check_tun_name(tun_name)
    bypass = _strings(fields.get("bypass"))
    settings = fields.get("settings")
    if not isinstance(settings, dict):
        raise ValueError("settings are not a table")  # noqa: TRY004 - all damage is ValueError
    return JournalRecord(
        owner=ProcessIdentity(
            pid=_number(fields.get("pid")),
            start_time=_number(fields.get("start_time")),
            boot_id=_string(fields.get("boot_id")),
        ),
        tun_name=tun_name,
        netns=_number(fields.get("netns")),
        bypass=tuple(ip_address(address) for address in bypass),
        has_table=fields.get("has_table") is True,
        settings={ForwardingGroup(name): _saved(saved) for name, saved in settings.items()},
        instance=_instance(fields.get("instance", "")),
        kill_switch=KillSwitchMode(fields.get("kill_switch", KillSwitchMode.OFF.value)),
        excluded=tuple(ip_network(text) for text in _strings(fields.get("excluded", []))),
        link_settings=_saved(fields.get("link_settings", {}), is_link_setting),
        has_rules=fields.get("has_rules") is True,
        dns=DnsMethod(fields.get("dns", DnsMethod.NONE.value)),
    )


def _instance(value: object) -> str:
    name = _string(value)
    if _INSTANCE_PATTERN.fullmatch(name) is None:
        raise ValueError("the name of the instance is not one of ours")
    return name


def _saved(value: object, is_ours: Callable[[str, str], bool] = is_restorable) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > _MAX_SETTINGS:
        raise ValueError("saved settings are not a table of bounded length")
    saved = {_string(key): _string(setting) for key, setting in value.items()}
    for key, setting in saved.items():
        if not is_ours(key, setting):
            raise ValueError("a saved setting is not one of ours")
    return saved


def _strings(value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > _MAX_BYPASS:
        raise ValueError("a list is missing or too long")
    return [_string(entry) for entry in value]


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text is missing")  # noqa: TRY004 - all damage is ValueError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
        raise ValueError("a number is missing or out of range")
    return value
