"""Tables that fit, and numbers as people read them."""

import pytest

from mqvpn_core.app.tables import Column, render_table
from mqvpn_core.app.units import age_text, rate_text, size_text

COLUMNS = (
    Column(heading="path", rank=0),
    Column(heading="note", rank=2),
    Column(heading="rate", rank=1, is_number=True),
)
ROWS = (("0", "first", "10"), ("12", "x", "5"))


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert render_table(COLUMNS, ROWS) == [
        "  path  note   rate",
        "  0     first    10",
        "  12    x         5",
    ]


@pytest.mark.parametrize(
    ("width", "first"),
    [(19, "  path  note   rate"), (18, "  path  rate"), (11, "  path"), (3, "  p")],
)
def test_what_matters_least_goes_first(width: int, first: str) -> None:
    assert render_table(COLUMNS, ROWS, width)[0] == first


def test_of_equal_rank_the_last_goes_first() -> None:
    columns = (Column(heading="a", rank=1), Column(heading="b", rank=1))
    assert render_table(columns, [("1", "2")], 5) == ["  a", "  1"]


def test_a_table_without_rows_has_headings() -> None:
    assert render_table(COLUMNS, []) == ["  path  note  rate"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5e9, "4.7 GiB"), (1e13, "9.1 TiB")],
)
def test_sizes(count: float, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0 bit/s"),
        (100, "800 bit/s"),
        (1250, "10.0 kbit/s"),
        (125_000, "1.00 Mbit/s"),
        (12_500_000, "100 Mbit/s"),
        (1.25e9, "10.0 Gbit/s"),
    ],
)
def test_rates(rate: float, text: str) -> None:
    assert rate_text(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.4, "3 s"), (61, "1 min 1 s"), (3725, "1 h 2 min"), (90_000, "25 h 0 min")],
)
def test_ages(seconds: float, text: str) -> None:
    assert age_text(seconds) == text
