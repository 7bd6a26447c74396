"""A real keyring that is locked: the window says so, has it opened, or takes the key this time."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqvpn_gui.user.profile_store import ProfileStore
from mqvpn_gui.user.profile_text import StoredProfile
from mqvpn_helper.interface.profile import Profile
from tests.desktop.reading import LAUNCHER, PYATSPI, Reader, screen_reader
from tests.desktop.session import Desktop, desktop, eventually, need_desktop
from tests.gui.private_bus import BusHelper, message_bus_daemon

pytestmark = [pytest.mark.slow, pytest.mark.desktop]

PROMPTER = "/usr/libexec/gcr-prompter"
PASSWORD = "password-of-the-test"  # noqa: S105 - of a keyring that the test makes
KEY = "0123456789abcdef0123456789abcdef"
OFF: dict[str, tuple[str, object]] = {
    "Version": ("s", "0.1.0"),
    "ApiLevel": ("u", 1),
    "State": ("s", "off"),
}
KEEP_AND_LOCK = f"""
import secretstorage
from mqvpn_gui.user.secret_store import SecretStore
from mqvpn_gui.user.secret_text import SecretText
SecretStore().write("office", SecretText("{KEY}"))
collection = secretstorage.get_default_collection(secretstorage.dbus_init())
collection.lock()
print(collection.is_locked())
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[tuple[Desktop, BusHelper, Reader]]:
    need_desktop(LAUNCHER, PYATSPI, PROMPTER)
    for name in ("system", "desk"):
        (tmp_path / name).mkdir()
    with message_bus_daemon(tmp_path / "system") as system_bus:
        helper = BusHelper(system_bus, dict(OFF))
        with desktop(tmp_path / "desk", system_bus) as made:
            del made.environment["PYTHON_KEYRING_BACKEND"]
            made.start(
                *("keyring", "gnome-keyring-daemon", "--foreground", "--unlock"),
                "--components=secrets",
                given=PASSWORD.encode(),
            )
            profiles = ProfileStore(Path(made.environment["XDG_CONFIG_HOME"], "mqvpn", "profiles"))
            office = StoredProfile(settings=Profile(host="vpn.example.org"))
            profiles.write("office", office, overwrite=False)
            assert made.run(sys.executable, "-c", KEEP_AND_LOCK) == "True\n"
            made.start("at-spi", LAUNCHER, "--launch-immediately")
            made.start_window()
            with screen_reader(made) as reader:
                yield made, helper, reader
            assert "Traceback" not in made.log("mqvpn-gui")
            assert KEY not in made.log("mqvpn-gui")
        helper.die()


def answer_prompt(made: Desktop, password: str = "") -> None:
    """Answer the question of the keyring, a window of its own; without a password: close it."""

    def prompts() -> str:
        return made.run("xdotool", "search", "--onlyvisible", "--class", "gcr-prompter")

    eventually(lambda: prompts() != "", "question of the keyring")
    window = prompts().split()[-1]
    made.run("xdotool", "windowactivate", "--sync", window, "sleep", "0.5")
    if password:
        made.run("xdotool", "type", "--delay", "50", password)
    made.run("xdotool", "key", "Return" if password else "Escape")
    eventually(lambda: prompts() == "", "end of the question")


def key_at_the_helper(helper: BusHelper) -> object:
    eventually(lambda: "Connect" in [method for method, _ in helper.asked], "Connect on the bus")
    return next(body for method, body in helper.asked if method == "Connect")[-1]


def test_locked_keyring_is_explained_and_opened(
    scene: tuple[Desktop, BusHelper, Reader],
) -> None:
    made, helper, reader = scene
    reader.press("push button", "Connect")
    answer_prompt(made)
    reader.look("label", "Your keyring is locked")
    reader.press("push button", "Unlock the keyring")
    answer_prompt(made, PASSWORD)
    assert key_at_the_helper(helper) == KEY.encode()


def test_who_does_not_open_it_types_the_key(scene: tuple[Desktop, BusHelper, Reader]) -> None:
    made, helper, reader = scene
    reader.press("push button", "Connect")
    answer_prompt(made)
    reader.write("password text", "Key", "another-key-0123456789")
    reader.press("push button", "OK")
    assert key_at_the_helper(helper) == b"another-key-0123456789"
