"""Usage by month, and caps."""

from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.tunnel.link_usage import CapStanding, Usage, add_usage, cap_standings


def test_bytes_add_up_within_a_month() -> None:
    usage = add_usage(Usage(), "2026-11", {"wwan0": 10, "eth0": 1})
    usage = add_usage(usage, "2026-11", {"wwan0": 5})
    assert usage == Usage(month="2026-11", bytes_by_link={"wwan0": 15, "eth0": 1})


def test_a_new_month_begins_at_zero() -> None:
    usage = add_usage(Usage(), "2026-11", {"wwan0": 10})
    assert add_usage(usage, "2026-12", {}) == Usage(month="2026-12")
    assert add_usage(usage, "2026-12", {"eth0": 3}).bytes_by_link == {"eth0": 3}


def test_caps_by_name_and_pattern() -> None:
    usage = Usage(month="m", bytes_by_link={"wwan0": 80, "wwan1": 80, "eth0": 80})
    caps = [("wwan*", 100), ("wwan1", 80)]
    assert cap_standings(usage, caps) == (
        CapStanding(link="wwan0", used_bytes=80, cap_bytes=100),
        CapStanding(link="wwan1", used_bytes=80, cap_bytes=80),
    )


def test_what_a_standing_means() -> None:
    one = CapStanding(link="x", used_bytes=80, cap_bytes=100)
    assert one.exceeds(80)
    assert not one.exceeds(81)
    assert not one.is_reached
    assert CapStanding(link="x", used_bytes=100, cap_bytes=100).is_reached


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 99))))
def test_nothing_is_forgotten(parts: list[dict[str, int]]) -> None:
    usage = Usage()
    for part in parts:
        usage = add_usage(usage, "m", part)
    assert sum(usage.bytes_by_link.values()) == sum(sum(part.values()) for part in parts)
