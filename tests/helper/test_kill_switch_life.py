"""How long a kill switch stays: beyond a death, beyond the end, beyond a reboot."""

import os
import re
import subprocess
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from mqvpn_helper.interface.host_plan import (
    KillSwitchMode,
    Split,
)
from tests.helper.kill_switch_scene import (
    ELSEWHERE,
    SWITCH,
    carrying,
    changer_in,
    die_with,
    sent,
    waiting,
)
from tests.helper.namespaces import machine_state, run
from tests.helper.plans import client_plan
from tests.meta.checkout import ROOT

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.usefixtures("namespace")]


def test_undo_leaves_nothing(tmp_path: Path) -> None:
    before = machine_state()
    changer = changer_in(tmp_path)
    opened = changer.open_tun("mqvpn0")
    changer.apply(waiting())
    changer.apply(carrying())
    changer.undo()
    os.close(opened.fd)
    assert machine_state() == before
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["lock"]


def test_killed_process_leaves_it_in_force_until_recovery(tmp_path: Path) -> None:
    before = machine_state()
    die_with(tmp_path, carrying())
    assert not sent(ELSEWHERE)
    # Another tunnel that starts takes everything back except what keeps the user safe.
    found = changer_in(tmp_path).recover()
    assert found == ("undid what a process that is gone had changed for mqvpn0",)
    assert not sent(ELSEWHERE)
    assert run("ip route show proto 110") == ""
    assert changer_in(tmp_path).recover() == ()
    assert changer_in(tmp_path).recover(release_kill_switch=True)
    assert machine_state() == before
    assert changer_in(tmp_path).recover(release_kill_switch=True) == ()


def test_next_start_takes_it_over_without_a_gap(tmp_path: Path) -> None:
    before = machine_state()
    die_with(tmp_path, carrying())
    changer = changer_in(tmp_path)
    opened = changer.open_tun("mqvpn0", keep_leftovers=True)
    assert not sent(ELSEWHERE)
    changer.apply(waiting())
    assert not sent(ELSEWHERE)
    assert run("ip route show proto 110") == ""
    changer.undo()
    os.close(opened.fd)
    assert machine_state() == before


def test_next_start_without_a_kill_switch_takes_it_back(tmp_path: Path) -> None:
    die_with(tmp_path, carrying(replace(SWITCH, mode=KillSwitchMode.ALWAYS)))
    assert (tmp_path / "boot/kill-switch-mqvpn0.nft").exists()
    changer = changer_in(tmp_path)
    opened = changer.open_tun("mqvpn0")
    assert sent(ELSEWHERE)
    assert not (tmp_path / "boot/kill-switch-mqvpn0.nft").exists()
    os.close(opened.fd)


def test_journal_may_be_lost(tmp_path: Path) -> None:
    before = machine_state()
    die_with(tmp_path, carrying())
    for path in (tmp_path / "state").glob("*.journal"):
        path.unlink()
    changer_in(tmp_path).recover()
    assert not sent(ELSEWHERE)
    found = changer_in(tmp_path).recover(release_kill_switch=True)
    assert found == ("removed the kill switch of mqvpn0",)
    assert machine_state() == before


def test_user_may_ask_to_keep_it_after_an_end_in_order(tmp_path: Path) -> None:
    before = machine_state()
    changer = changer_in(tmp_path)
    opened = changer.open_tun("mqvpn0")
    changer.apply(carrying())
    changer.undo(keep_kill_switch=True)
    os.close(opened.fd)
    assert not sent(ELSEWHERE)
    # Its owner still lives, but has let go of it.
    assert changer.living_owners() == ()
    assert changer.recover(release_kill_switch=True)
    assert machine_state() == before


def test_always_stays_after_the_end_and_is_there_at_boot(tmp_path: Path) -> None:
    before = machine_state()
    changer = changer_in(tmp_path)
    opened = changer.open_tun("mqvpn0")
    changer.apply(carrying(replace(SWITCH, mode=KillSwitchMode.ALWAYS)))
    changer.undo()
    os.close(opened.fd)
    assert not sent(ELSEWHERE)
    boot = tmp_path / "boot/kill-switch-mqvpn0.nft"
    assert boot.stat().st_mode & 0o777 == 0o600
    # A reboot: the firewall and everything below /run are gone.
    run("nft flush ruleset")
    (tmp_path / "state/").rename(tmp_path / "state-before-boot")
    assert sent(ELSEWHERE)
    run(f"nft -f {boot}")
    assert not sent(ELSEWHERE)
    assert changer_in(tmp_path).recover() == ()
    assert not sent(ELSEWHERE)
    assert changer_in(tmp_path).recover(release_kill_switch=True)
    assert machine_state() == before
    assert not boot.exists()


def test_the_unit_of_the_boot_loads_it(tmp_path: Path) -> None:
    """What mqvpn-killswitch.service runs before there is a network."""
    unit = (ROOT / "resources/mqvpn-killswitch.service").read_text(encoding="ascii")
    (line,) = re.findall(r"^ExecStart=/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    assert "Before=network-pre.target" in unit
    changer = changer_in(tmp_path)
    opened = changer.open_tun("mqvpn0")
    changer.apply(carrying(replace(SWITCH, mode=KillSwitchMode.ALWAYS)))
    changer.undo()
    os.close(opened.fd)
    script = line.replace("/etc/mqvpn", str(tmp_path / "boot")).replace("$$", "$")
    for code in (0, 1):
        run("nft flush ruleset")
        assert sent(ELSEWHERE)
        command = ["/bin/sh", "-c", script]
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - the unit's
        assert done.returncode == code, done.stderr
        assert not sent(ELSEWHERE)
        # Whatever becomes of another file, this one counts.
        (tmp_path / "boot/kill-switch-broken.nft").write_text("this is no rule\n")


def test_excluded_networks_are_forgotten_by_recovery(tmp_path: Path) -> None:
    before = machine_state()
    split = Split(networks=(ip_network("198.51.100.0/24"),))
    die_with(tmp_path, replace(client_plan("mqvpn0"), split=split))
    assert "198.51.100.0/24 via 192.0.2.1" in run("ip route show proto 110")
    changer_in(tmp_path).recover()
    assert machine_state() == before
