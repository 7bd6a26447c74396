"""Kill switches without a tunnel: put back when somebody empties the firewall, and only then."""

import os
from pathlib import Path

import pytest

from mqvpn_helper.host.held_kill_switches import HeldKillSwitches
from mqvpn_helper.host.journal import Journal
from mqvpn_helper.host.nft_rules import Nft
from mqvpn_helper.host.operations import HostChanger
from mqvpn_helper.host.process_identity import current_netns
from mqvpn_helper.host.wish_files import WishFiles
from mqvpn_helper.interface.host_plan import HostPlan, KillSwitch, KillSwitchMode
from tests.helper.namespaces import run

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("namespace")]


def _changer(folder: Path) -> HostChanger:
    return HostChanger(folder / "state", boot_directory=folder / "boot")


def _held(folder: Path) -> HeldKillSwitches:
    return HeldKillSwitches(Journal(folder / "state"), Nft(), folder / "boot")


def _put_in_force(folder: Path, mode: KillSwitchMode) -> tuple[HostChanger, int]:
    changer = _changer(folder)
    opened = changer.open_tun("mqvpn0")
    switch = KillSwitch(mode=mode, servers=())
    changer.apply(HostPlan(tun_name="mqvpn0", mtu=1400, kill_switch=switch))
    return changer, opened.fd


def _leave(folder: Path, mode: KillSwitchMode) -> str:
    """Leave a kill switch without a tunnel; return the rules."""
    changer, fd = _put_in_force(folder, mode)
    changer.undo(keep_kill_switch=True)
    os.close(fd)
    return run("nft --stateless list ruleset")


def test_what_others_remove_is_put_back_as_it_was(tmp_path: Path) -> None:
    rules = _leave(tmp_path, KillSwitchMode.STANDARD)
    held = _held(tmp_path)
    held.look()
    assert held.put_back() == ()
    run("nft flush ruleset")
    assert held.put_back() == ("mqvpn0",)
    assert run("nft --stateless list ruleset") == rules
    held.let_go()
    run("nft flush ruleset")
    assert held.put_back() == ()


def test_what_was_taken_back_in_order_stays_away(tmp_path: Path) -> None:
    _leave(tmp_path, KillSwitchMode.ALWAYS)
    held = _held(tmp_path)
    held.look()
    _changer(tmp_path).recover(release_kill_switch=True)
    assert held.put_back() == ()
    assert run("nft list ruleset") == ""


def test_a_damaged_journal_is_no_word_that_somebody_has_opened_the_network(tmp_path: Path) -> None:
    rules = _leave(tmp_path, KillSwitchMode.STANDARD)
    held = _held(tmp_path)
    held.look()
    (journal,) = (tmp_path / "state").glob("*.journal")
    journal.write_text("damaged")
    run("nft flush ruleset")
    assert held.put_back() == ("mqvpn0",)
    assert run("nft --stateless list ruleset") == rules


def test_rules_since_boot_come_back_even_if_nobody_has_seen_them(tmp_path: Path) -> None:
    rules = _leave(tmp_path, KillSwitchMode.ALWAYS)
    run("nft flush ruleset")
    held = _held(tmp_path)
    held.look()
    assert held.put_back() == ("mqvpn0",)
    assert run("nft --stateless list ruleset") == rules


def test_a_client_that_lives_looks_after_its_own(tmp_path: Path) -> None:
    _, fd = _put_in_force(tmp_path, KillSwitchMode.STANDARD)
    held = _held(tmp_path)
    held.look()
    run("nft flush ruleset")
    assert held.put_back() == ()
    os.close(fd)


def test_recovering_forgets_what_was_wanted_unless_its_helper_lives(tmp_path: Path) -> None:
    changer, fd = _put_in_force(tmp_path, KillSwitchMode.STANDARD)
    files = WishFiles(tmp_path / "state", "mqvpn0", current_netns())
    for path in (files.wish, files.secret):
        path.write_text("x")
    _changer(tmp_path).recover(release_kill_switch=True)
    assert files.wish.exists()
    changer.undo(keep_kill_switch=True)
    os.close(fd)
    _changer(tmp_path).recover()
    assert files.secret.exists()
    found = _changer(tmp_path).recover(release_kill_switch=True)
    assert "forgot that mqvpn0 was wanted" in found
    assert not files.wish.exists()
    assert not files.secret.exists()
