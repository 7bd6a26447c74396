"""Kernel settings, on a directory that looks like /proc/sys."""

import os
from pathlib import Path

import pytest

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.sysctls import ForwardingGroup, Sysctls, is_restorable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    values = {
        "net/ipv4/ip_forward": "0",
        "net/ipv4/conf/all/forwarding": "0",
        "net/ipv4/conf/all/accept_redirects": "0",
        "net/ipv4/conf/eth0/forwarding": "1",
        "net/ipv6/conf/all/forwarding": "0",
        "net/ipv6/conf/all/accept_ra": "1",
        "net/ipv6/conf/default/forwarding": "0",
        "net/ipv6/conf/default/accept_ra": "1",
        "net/ipv6/conf/eth0/forwarding": "0",
        "net/ipv6/conf/eth0/accept_ra": "1",
        "net/ipv6/conf/eth1/forwarding": "1",
        "net/ipv6/conf/eth1/accept_ra": "0",
    }
    for key, value in values.items():
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")
    return tmp_path


def test_snapshot_holds_what_the_switch_does_not_put_back(root: Path) -> None:
    sysctls = Sysctls(root)
    assert sysctls.snapshot(ForwardingGroup.IPV4) == {
        "net/ipv4/ip_forward": "0",
        "net/ipv4/conf/all/accept_redirects": "0",
        "net/ipv4/conf/eth0/forwarding": "1",
    }
    assert sysctls.snapshot(ForwardingGroup.IPV6) == {
        "net/ipv6/conf/all/forwarding": "0",
        "net/ipv6/conf/default/accept_ra": "1",
        "net/ipv6/conf/eth0/accept_ra": "1",
        "net/ipv6/conf/eth1/forwarding": "1",
    }


def test_snapshots_may_be_restored_from_a_journal(root: Path) -> None:
    for group in ForwardingGroup:
        saved = Sysctls(root).snapshot(group)
        assert all(is_restorable(key, value) for key, value in saved.items())


def test_enable_and_restore(root: Path) -> None:
    sysctls = Sysctls(root)
    saved = sysctls.snapshot(ForwardingGroup.IPV6)
    assert not sysctls.is_forwarding(ForwardingGroup.IPV6)
    sysctls.enable(ForwardingGroup.IPV6)
    assert sysctls.is_forwarding(ForwardingGroup.IPV6)
    assert sysctls.read("net/ipv6/conf/eth0/accept_ra") == "2"
    assert sysctls.read("net/ipv6/conf/eth1/accept_ra") == "0"
    (root / "net/ipv6/conf/eth1/forwarding").write_text("0")
    sysctls.restore(ForwardingGroup.IPV6, saved)
    assert sysctls.snapshot(ForwardingGroup.IPV6) == saved


def test_link_that_has_gone_is_passed_over(root: Path) -> None:
    sysctls = Sysctls(root)
    sysctls.restore(ForwardingGroup.IPV4, {"net/ipv4/conf/gone/forwarding": "1"})
    assert not (root / "net/ipv4/conf/gone").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="a link into /proc that only root may read")
def test_read_only_settings_are_explained(root: Path) -> None:
    key = root / "net/ipv4/ip_forward"
    key.unlink()
    # A file of the kernel that nobody can write.
    key.symlink_to("/proc/sys/kernel/osrelease")
    with pytest.raises(HostChangeError, match=r"sysctl -w net\.ipv4\.ip_forward=1"):
        Sysctls(root).enable(ForwardingGroup.IPV4)


def test_setting_that_cannot_be_read(root: Path) -> None:
    key = root / "net/ipv4/ip_forward"
    key.unlink()
    key.mkdir()
    with pytest.raises(HostChangeError, match=r"cannot read net\.ipv4\.ip_forward"):
        Sysctls(root).read("net/ipv4/ip_forward")


def test_kernel_without_ipv6(tmp_path: Path) -> None:
    assert not Sysctls(tmp_path).is_forwarding(ForwardingGroup.IPV6)
