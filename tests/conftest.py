"""What every test may rely on: the markers of pyproject.toml and the rule for privileged tests.

``MQVPN_E2E`` decides what happens to tests marked ``netns`` on a machine that cannot run them:
``auto`` (default) skips them with the reason, ``require`` fails them (CI), ``off`` always skips.
"""

import ctypes
import os
import signal
import stat
import threading
from functools import cache
from pathlib import Path

import hypothesis
import pytest

# Windows are drawn into memory unless somebody wants to see them, and before Qt is loaded.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

CLONE_NEWNET = 0x40000000

# Same examples every time, bounded by count and not by time. MQVPN_HYPOTHESIS=random looks for new
# ones and says how to repeat what it found.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("random", deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("MQVPN_HYPOTHESIS", "same"))


def _unshare_fails() -> bool:
    failed: list[bool] = []
    libc = ctypes.CDLL(None)
    probe = threading.Thread(target=lambda: failed.append(libc.unshare(CLONE_NEWNET) != 0))
    probe.start()
    probe.join()
    return failed != [False]


@cache
def netns_obstacle() -> str | None:
    """Say in a few words why namespace tests cannot run here; None when they can."""
    if os.environ.get("MQVPN_E2E") == "off":
        return "MQVPN_E2E=off"
    if os.geteuid() != 0:
        return "needs root"
    try:
        if not stat.S_ISCHR(Path("/dev/net/tun").stat().st_mode):
            return "/dev/net/tun is no device"
        with Path("/dev/net/tun").open("rb"):
            pass
    except OSError as error:
        return f"/dev/net/tun: {error.strerror}"
    if _unshare_fails():
        return "may not create network namespaces"
    return None


def pytest_configure() -> None:
    """Have children hear SIGINT, also where this process was started in the background.

    A shell lets such a process ignore it, and whatever that starts inherits this.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip privileged tests where they cannot run, or fail them where they must."""
    if item.get_closest_marker("netns") is None:
        return
    obstacle = netns_obstacle()
    if obstacle is None:
        return
    if os.environ.get("MQVPN_E2E") == "require":
        pytest.fail(f"network namespace tests are required here, but: {obstacle}", pytrace=False)
    pytest.skip(f"network namespace test: {obstacle}")
