"""``mqvpn-core recover`` has to work when little else does."""

import subprocess
import sys
from pathlib import Path

import pytest

from mqvpn_core.app import recover
from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.errors import HostError
from mqvpn_core.runtime.local_host import Recovered


def test_it_loads_no_cryptography() -> None:
    code = (
        "import sys\n"
        "from mqvpn_core.cli import main, tools\n"
        "from mqvpn_core.app import recover\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "sys.exit(str(loaded & {'cryptography', 'aioquic', 'jeepney'} or ''))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert done.stderr.strip() == ""


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        (Recovered(found=(), living=()), ExitCode.OK, "nothing of mqvpn was left"),
        (Recovered(found=("removed it",), living=()), ExitCode.OK, "removed it"),
        (Recovered(found=(), living=(("mqvpn0", 7),)), ExitCode.FAILURE, "the running process 7"),
        (HostError("nft is missing"), ExitCode.PERMISSION, "nft is missing"),
    ],
)
def test_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
    outcome: Recovered | HostError,
    code: ExitCode,
    words: str,
) -> None:
    asked: list[tuple[Path, bool]] = []

    def recover_machine(directory: Path, *, ends_owners: bool) -> Recovered:
        asked.append((directory, ends_owners))
        if isinstance(outcome, HostError):
            raise outcome
        return outcome

    monkeypatch.setattr(recover, "recover_machine", recover_machine)
    lines: list[str] = []
    there, missing = Path("/run/there"), Path("/run/not-there")
    assert recover.run(lines.append, (there, missing), stop=True) == code
    assert asked == [(there, True)]
    assert words in "\n".join(lines)
