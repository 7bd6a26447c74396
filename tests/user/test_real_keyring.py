"""``mqvpn`` with a real Secret Service in its three states."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from mqvpn_gui.command.exit_codes import ExitCode
from tests.command.runs import LINK
from tests.user.keyring_session import KeyringState, keyring_session, need_tools

pytestmark = pytest.mark.slow


@contextmanager
def desktop(state: KeyringState) -> Iterator[Mapping[str, str]]:
    """A desktop whose paths are short enough for sockets."""
    need_tools()
    with (
        tempfile.TemporaryDirectory(prefix="mq-kr-") as directory,
        keyring_session(state, Path(directory)) as environment,
    ):
        yield environment


def mqvpn(
    environment: Mapping[str, str], *arguments: str, piped: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "mqvpn_gui.command", *arguments],
        env=dict(environment),
        cwd=Path(__file__).parents[2],
        input=piped,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_unlocked_keyring_keeps_keys_and_gives_them_back() -> None:
    with desktop(KeyringState.UNLOCKED) as environment:
        imported = mqvpn(environment, "profile", "import", piped=LINK)
        assert (imported.returncode, imported.stderr) == (ExitCode.OK, "")
        shared = mqvpn(environment, "profile", "share", "office", "--no-qr")
        assert shared.stdout.endswith("#the-key-of-alice\n")
        removed = mqvpn(environment, "profile", "rm", "office")
        assert (removed.returncode, removed.stderr) == (ExitCode.OK, "")
        mqvpn(environment, "profile", "import", "-", piped=LINK.partition("#")[0])
        missing = mqvpn(environment, "profile", "share", "office")
        assert missing.returncode == ExitCode.SECRET
        assert "the keyring has no key of office" in missing.stderr
        home = Path(environment["HOME"])
        files = [each for each in home.rglob("*") if each.is_file()]
        assert not [each for each in files if b"the-key-of-alice" in each.read_bytes()]


@pytest.mark.parametrize(
    ("state", "said", "code"),
    [
        (KeyringState.LOCKED, "the keyring is locked", ExitCode.SECRET),
        (KeyringState.ABSENT, "there is no keyring on this desktop", ExitCode.OK),
    ],
)
def test_a_keyring_that_keeps_nothing_is_explained(
    state: KeyringState, said: str, code: ExitCode
) -> None:
    with desktop(state) as environment:
        imported = mqvpn(environment, "profile", "import", piped=LINK)
        assert imported.returncode == code
        assert f"warning: the key was not kept: {said}" in imported.stderr
        shared = mqvpn(environment, "profile", "share", "office")
        assert shared.returncode == ExitCode.SECRET
        assert shared.stderr.startswith(f"mqvpn: {said}")
        assert "--key-stdin" in shared.stderr
        given = mqvpn(
            environment, "profile", "share", "office", "--no-qr", "--key-stdin", piped="again\n"
        )
        assert given.stdout.endswith("#again\n")
