"""What a tunnel needs of this process."""

from pathlib import Path

import pytest

from mqvpn_core.app.privileges import missing_privilege


@pytest.mark.parametrize(
    ("status", "is_missing"),
    [
        ("Name:\tx\nCapEff:\t000001ffffffffff\n", False),
        ("CapEff:\t0000000000001000\n", False),
        ("CapEff:\t0000000000000000\n", True),
        ("CapEff:\t000001ffffffefff\n", True),
        ("CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000000\n", True),
        ("CapEff:\n", False),
        ("CapEff:\tzz\n", False),
        ("", False),
    ],
)
def test_capability_is_read_from_proc(tmp_path: Path, status: str, is_missing: bool) -> None:
    (tmp_path / "status").write_text(status)
    missing = missing_privilege(tmp_path / "status", tun=tmp_path)
    assert (missing is not None) == is_missing
    assert missing is None or "CAP_NET_ADMIN" in missing


def test_device_that_is_missing_is_named(tmp_path: Path) -> None:
    missing = missing_privilege(tmp_path / "no-proc-here", tun=tmp_path / "tun")
    assert missing is not None
    assert "modprobe tun" in missing
