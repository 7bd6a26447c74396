"""Where no further path can be opened, the one there is moves to another link."""

from mqvpn_core.config import LinkRole
from mqvpn_core.ids import PathId
from mqvpn_core.tunnel.link_rules import LinkRules
from mqvpn_core.tunnel.path_messages import (
    MigratePath,
)
from mqvpn_core.tunnel.path_policy import FIRST_PAUSE, next_timeout
from tests.unit.tunnel.links import ETH, WLAN, WWAN, without_ipv4
from tests.unit.tunnel.policy_scene import Scene, down, kinds

# Moving

PRIMARY, BACKUP = LinkRole.PRIMARY, LinkRole.BACKUP


def test_without_multipath_the_only_path_is_moved() -> None:
    scene = Scene.started(WLAN, ETH, multipath=False)
    assert scene.commands == []
    (moving,) = scene.links(ETH)
    assert moving == MigratePath(path_id=PathId(0), link=ETH, way=ETH.ways[0], role=PRIMARY)
    assert scene.on(ETH) == [(0, PRIMARY)]
    scene.prove(0)
    assert scene.links(ETH, WLAN) == [], "what works is left alone"


def test_without_multipath_the_path_moves_back_to_a_better_link_that_returns() -> None:
    scene = Scene.started(WLAN, WWAN, multipath=False)
    assert kinds(scene.change(down(WLAN))) == ["MigratePath"]
    scene.prove(0)
    assert scene.on(WWAN) == [(0, BACKUP)]
    (moving,) = scene.change(WLAN)
    assert moving == MigratePath(path_id=PathId(0), link=WLAN, way=WLAN.ways[0], role=PRIMARY)
    scene.prove(0)
    assert scene.on(WLAN) == [(0, PRIMARY)]
    assert scene.wait(100) == []


def test_a_better_link_that_has_been_there_all_the_time_is_no_reason_to_move() -> None:
    """It did not answer when the connection began, or it would be in use."""
    scene = Scene.started(WWAN, WLAN, multipath=False)
    assert kinds(scene.commands) == ["SetPathUse"]
    assert scene.links(WWAN, WLAN) == []
    assert scene.wait(100) == []


def test_a_better_link_is_tried_once_for_each_time_that_it_appears() -> None:
    scene = Scene.started(WWAN, multipath=False)
    scene.refuses.add("wlan0")
    assert kinds(scene.links(WWAN, WLAN)) == ["MigratePath"]
    assert scene.wait(100) == []
    assert scene.change(down(WLAN)) == []
    assert kinds(scene.change(WLAN)) == ["MigratePath"]


def test_without_multipath_a_new_role_moves_the_path() -> None:
    scene = Scene.started(WLAN, ETH, multipath=False)
    commands = scene.rules(LinkRules(roles=(("wlan0", BACKUP),)))
    assert kinds(commands) == ["SetPathUse", "MigratePath"]
    assert scene.on(ETH) == [(0, PRIMARY)]


def test_a_broken_path_is_moved_when_no_further_one_can_be_opened() -> None:
    scene = Scene.started(WLAN)
    scene.free_ids = 0
    scene.links(WLAN, ETH)
    (moving,) = scene.links(ETH)
    assert isinstance(moving, MigratePath)
    assert scene.on(ETH) == [(0, PRIMARY)]


def test_a_path_is_not_moved_to_another_address_of_the_server() -> None:
    scene = Scene.started(WLAN, multipath=False)
    assert scene.links(without_ipv4(ETH)) == []
    assert scene.wait(100) == []
    assert kinds(scene.links(ETH)) == ["MigratePath"]


def test_moving_that_fails_is_tried_again() -> None:
    scene = Scene.started(WLAN, multipath=False)
    scene.refuses.add("eth0")
    assert kinds(scene.links(ETH)) == ["MigratePath"]
    assert kinds(scene.wait(FIRST_PAUSE)) == ["MigratePath"]
    scene.refuses.clear()
    scene.wait(60)
    assert scene.on(ETH) == [(0, PRIMARY)]


def test_nothing_is_moved_before_the_handshake_is_confirmed() -> None:
    scene = Scene.opened(WLAN)
    assert scene.links(ETH) == []
    assert next_timeout(scene.state) is None
