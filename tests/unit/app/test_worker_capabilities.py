"""What a worker has of root after it has begun."""

import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import sys
from pathlib import Path
from mqvpn_core.app.worker_capabilities import give_up_capabilities
give_up_capabilities(writes_files=sys.argv[1] == "True")
print(Path("/proc/self/status").read_text())
"""
_SETS = ("CapInh", "CapPrm", "CapEff", "CapAmb")
_READS, _WRITES = 1 << 2, 1 << 1  # CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE


def fields(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in lines}


@pytest.mark.slow
@pytest.mark.parametrize(("writes_files", "wanted"), [(False, _READS), (True, _READS | _WRITES)])
def test_only_what_handles_files_is_kept_and_nothing_is_gained(
    writes_files: bool, wanted: int
) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(writes_files)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this interpreter
    after = fields(done.stdout)
    before = fields(Path("/proc/self/status").read_text(encoding="ascii"))
    kept = int(before["CapPrm"], 16) & wanted
    assert [int(after[name], 16) for name in _SETS] == [0, kept, kept, 0]
    assert after["NoNewPrivs"] == "1"
