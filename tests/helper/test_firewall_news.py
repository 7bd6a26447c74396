"""What the kernel tells when tables are removed, and what it is not asked to wake us for."""

import select
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mqvpn_helper.host.firewall_news import FirewallNews, names_removed_table
from tests.helper.namespaces import run

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("namespace")]


@pytest.fixture
def news() -> Iterator[FirewallNews]:
    with closing(FirewallNews()) as opened:
        yield opened


def heard(news: FirewallNews) -> bool:
    select.select([news], [], [], 2.0)
    return news.take()


def test_only_removed_tables_count(news: FirewallNews) -> None:
    run("nft add table inet theirs")
    assert not heard(news)
    run("nft add chain inet theirs some")
    assert not heard(news)
    run("nft flush ruleset")
    assert heard(news)
    assert not news.take()


def test_a_storm_counts_as_a_removal(news: FirewallNews, tmp_path: Path) -> None:
    """So much at once that the kernel leaves some of it out."""
    elements = ", ".join(str(number) for number in range(40000))
    rules = tmp_path / "rules"
    text = f"table inet big {{ set s {{ type mark; elements = {{ {elements} }}; }}; }}\n"
    rules.write_text(text)
    run(f"nft -f {rules}")
    assert heard(news)


def test_bytes_that_are_no_messages() -> None:
    removed = struct.pack("=IHHII", 20, 10 << 8 | 2, 0, 0, 0) + b"\0\0\0\0"
    other = struct.pack("=IHHII", 18, 10 << 8 | 0, 0, 0, 0) + b"\0\0\0\0"
    assert names_removed_table(other + removed)
    assert not names_removed_table(other)
    assert not names_removed_table(removed[:15])
    assert not names_removed_table(struct.pack("=IHHII", 0, 0, 0, 0, 0) * 3)
