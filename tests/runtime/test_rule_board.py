"""Rules that are changed while a client runs."""

import trio
import trio.testing

from mqvpn_core.config import LinkRole
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.tunnel.link_rules import LinkRules, role_of
from tests.runtime.virtual_time import run_virtual
from tests.unit.tunnel.links import link

ETH = link(1, "eth0")


def test_the_last_word_counts() -> None:
    board = RuleBoard(LinkRules(roles=(("eth0", LinkRole.SECONDARY), ("e*", LinkRole.BACKUP))))
    assert role_of(board.rules, ETH) is LinkRole.SECONDARY
    board.set_role("eth0", LinkRole.NEVER)
    assert role_of(board.rules, ETH) is LinkRole.NEVER
    board.set_role("eth0", LinkRole.BACKUP)
    assert role_of(board.rules, ETH) is LinkRole.BACKUP
    board.set_role("eth0", None)
    assert role_of(board.rules, ETH) is LinkRole.SECONDARY


def test_what_was_never_configured_can_be_taken_back() -> None:
    board = RuleBoard(LinkRules())
    board.set_role("eth*", LinkRole.NEVER)
    assert role_of(board.rules, ETH) is LinkRole.NEVER
    board.set_role("eth*", None)
    assert board.rules == LinkRules()


def test_rate_limits() -> None:
    board = RuleBoard(LinkRules(rate_limits=(("e*", 10),)))
    board.set_rate_limit("eth0", 5)
    board.set_rate_limit("e*", 20)
    assert dict(board.rules.rate_limits) == {"e*": 20, "eth0": 5}
    board.set_rate_limit("e*", None)
    board.set_rate_limit("e*", None)
    assert dict(board.rules.rate_limits) == {"eth0": 5}


def test_used_up_links() -> None:
    board = RuleBoard(LinkRules())
    board.set_used_up(frozenset({"eth0"}))
    assert role_of(board.rules, ETH) is LinkRole.NEVER
    board.set_used_up(frozenset())
    assert role_of(board.rules, ETH) is LinkRole.PRIMARY


def test_changes_can_be_waited_for() -> None:
    async def main() -> None:
        board = RuleBoard(LinkRules())
        seen: list[int] = []

        async def follow() -> None:
            while True:
                await board.wait_change(board.version)
                seen.append(board.version)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await trio.testing.wait_all_tasks_blocked()
            board.set_used_up(frozenset())
            await trio.testing.wait_all_tasks_blocked()
            assert seen == [], "nothing has changed"
            board.set_role("eth0", LinkRole.NEVER)
            await trio.testing.wait_all_tasks_blocked()
            board.set_role("eth0", LinkRole.NEVER)
            await trio.testing.wait_all_tasks_blocked()
            assert seen == [1]
            nursery.cancel_scope.cancel()

    run_virtual(main)
