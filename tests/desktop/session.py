"""A desktop of the test's own: screen, session bus, panel and notifications, all real programs.

Home, configuration and buses are new, so nothing of whoever runs the tests is touched.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TOOLS: Mapping[str, str] = {
    "Xvfb": "xvfb",
    "dbus-daemon": "dbus-daemon",
    "openbox": "openbox",
    "xfce4-panel": "xfce4-panel",
    "trayer": "trayer",
    "dunst": "dunst",
    "dunstctl": "dunst",
    "scrot": "scrot",
    "xdotool": "xdotool",
}
"""Programs of a desktop, with their Debian packages."""

_PANEL = """\
<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="30"/>
      <property name="plugin-ids" type="array">
        <value type="int" value="1"/><value type="int" value="2"/>
      </property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="separator">
      <property name="expand" type="bool" value="true"/>
    </property>
    <property name="plugin-2" type="string" value="systray"/>
  </property>
</channel>
"""
_PATIENCE = 20.0


def need_desktop(*more: str) -> None:
    """Skip, or fail where nothing may be skipped, when there can be no desktop.

    Args:
        more: files that have to be there as well.
    """
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    missing += [path for path in more if not Path(path).exists()]
    if not missing:
        return
    reason = f"the desktop tests need {' '.join(missing)}"
    if os.environ.get("MQVPN_DESKTOP") == "require":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@dataclass(slots=True)
class Desktop:
    """A running desktop."""

    environment: dict[str, str]
    """What programs on it find around them."""
    folder: Path
    """Where they write."""
    wrap: Callable[[Sequence[str]], Sequence[str]]
    """Makes the command line that runs a command as the user of the desktop."""
    _stack: ExitStack
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str, given: bytes = b"") -> subprocess.Popen[bytes]:
        """Start a program; it ends with the desktop at the latest.

        Args:
            name: what its log is called.
            command: the program and its arguments.
            given: what it reads from its standard input.
        """
        log = (self.folder / f"{name}.log").open("ab")
        self._stack.callback(log.close)
        process = subprocess.Popen(  # noqa: S603 - programs of the desktop
            self.wrap(command),
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
        )
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.close()
        self._running[name] = process
        self._stack.callback(stop, process)
        return process

    def stop(self, name: str) -> None:
        """End a program that was started under this name."""
        stop(self._running.pop(name))

    def start_session_bus(self) -> None:
        """Start the session bus, always at the same address."""
        path = self.folder / "session-bus"
        path.unlink(missing_ok=True)
        address = f"unix:path={path}"
        self.start("session-bus", "dbus-daemon", "--session", "--nofork", f"--address={address}")
        eventually(path.exists, "session bus")
        self.environment["DBUS_SESSION_BUS_ADDRESS"] = address

    def start_panel(self, kind: str = "xfce4-panel") -> None:
        """Start a panel: one that takes StatusNotifier items, or one that takes XEmbed windows."""
        if kind == "xfce4-panel":
            self.start(kind, kind, "--disable-wm-check")
        else:
            self.start(kind, kind, "--edge", "top", "--align", "right", "--height", "28")

    def run(self, *command: str) -> str:
        """Run a program to its end and return what it wrote."""
        done = subprocess.run(  # noqa: S603 - programs of the desktop
            self.wrap(command),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return done.stdout

    def start_window(self, *options: str) -> subprocess.Popen[bytes]:
        """Start the program itself."""
        return self.start("mqvpn-gui", sys.executable, "-m", "mqvpn_gui.app.main", *options)

    def log(self, name: str) -> str:
        """What a program wrote."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program politely, then firmly."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def eventually(is_so: Callable[[], bool], what: str, patience: float = _PATIENCE) -> float:
    """Wait until something is so; return the seconds it took."""
    started = time.monotonic()  # noqa: TID251 - real programs
    while not is_so():
        waited = time.monotonic() - started  # noqa: TID251 - as above
        if waited > patience:
            pytest.fail(f"no {what} within {patience:g} s")
        time.sleep(0.02)
    return time.monotonic() - started  # noqa: TID251 - as above


@contextmanager
def desktop(
    folder: Path,
    system_bus: str,
    *,
    panel: str | None = "xfce4-panel",
    wrap: Callable[[Sequence[str]], Sequence[str]] = tuple,
) -> Iterator[Desktop]:
    """Hold a desktop for the length of a block.

    Args:
        folder: an empty folder of the user.
        system_bus: socket of the system bus.
        panel: which panel to start; None: none yet.
        wrap: makes the command line that runs a command as the user.
    """
    with ExitStack() as stack:
        made = Desktop(_environment(folder, system_bus), folder, wrap, stack)
        made.environment["DISPLAY"] = _start_screen(made)
        made.start_session_bus()
        made.start("openbox", "openbox")
        made.start("dunst", "dunst")
        if panel is not None:
            made.start_panel(panel)
        yield made


def _environment(folder: Path, system_bus: str) -> dict[str, str]:
    home = folder / "home"
    panel = home / ".config/xfce4/xfconf/xfce-perchannel-xml/xfce4-panel.xml"
    panel.parent.mkdir(parents=True)
    panel.write_text(_PANEL)
    (folder / "run").mkdir(mode=0o700)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONFAULTHANDLER": "1",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "XDG_CURRENT_DESKTOP": "XFCE",
        "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={system_bus}",
        "QT_QPA_PLATFORM": "xcb",
        "QT_LINUX_ACCESSIBILITY_ALWAYS_ON": "1",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }


def _start_screen(made: Desktop) -> str:
    number = made.folder / "display"
    # The screen chooses a number that is free, and writes it where it is told.
    screen = f"exec Xvfb -displayfd 3 -screen 0 1280x900x24 -nolisten tcp 3>{number}"
    made.start("screen", "sh", "-c", screen)
    eventually(lambda: number.exists() and number.read_text().endswith("\n"), "screen")
    return f":{number.read_text().strip()}"
