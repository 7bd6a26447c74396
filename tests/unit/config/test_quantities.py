"""Amounts of data and rates: read, written, refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.config import quantities
from mqvpn_core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("5 GB", 5 * 10**9),
        ("5GB", 5 * 10**9),
        ("1.5 GB", 15 * 10**8),
        ("500 MB", 5 * 10**8),
        ("1 GiB", 2**30),
        ("2 kB", 2000),
        ("2 KB", 2000),
        ("2 KiB", 2048),
        ("3 TB", 3 * 10**12),
        ("7 B", 7),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert quantities.size(text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("10 Mbit/s", 1_250_000),
        ("10Mbps", 1_250_000),
        ("2.5 Gbit/s", 312_500_000),
        ("64 kbit/s", 8000),
        ("8 bit/s", 1),
    ],
)
def test_rates(text: str, count: int) -> None:
    assert quantities.rate(text) == count


@pytest.mark.parametrize(
    "text", ["", "5", "5 G", "GB", "-1 GB", "0 GB", "5 gb", "5  GB", "1e3 GB", "5 GB/s", "9" * 400]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an amount of data"):
        quantities.size(text)


@pytest.mark.parametrize("text", ["", "10", "10 Mbit", "10 MB", "0 bit/s", "1 bit/s", "x bit/s"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a rate"):
        quantities.rate(text)


@given(st.integers(1, 10**13).filter(lambda n: n < 10**9 or n % 10**5 == 0))
def test_what_is_written_can_be_read(count: int) -> None:
    assert quantities.size(quantities.size_text(count)) == count


@given(st.integers(1, 10**8))
def test_rates_that_are_written_can_be_read(count: int) -> None:
    assert quantities.rate(quantities.rate_text(count)) == count
