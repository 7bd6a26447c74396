"""What comes over the bus is untrusted: whatever it is, there is a state to show."""

from hypothesis import given
from hypothesis import strategies as st

from mqvpn_gui.model.helper_state import (
    MAX_PATHS,
    OFFLINE,
    PathInfo,
    PathState,
    Role,
    merged,
)
from mqvpn_gui.model.plain_text import MAX_SHOWN, plain
from mqvpn_helper.interface.bus_interface import PATH_FIELDS, PROPERTIES
from mqvpn_helper.interface.bus_names import TunnelState

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.sampled_from([*PATH_FIELDS, "wlan0", ""]), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([each.name for each in PROPERTIES]), values))
def test_any_properties_make_a_state(changed: dict[str, object]) -> None:
    state = merged(OFFLINE, changed)
    assert state.is_present
    assert isinstance(state.state, TunnelState)
    assert len(state.paths) <= MAX_PATHS
    for path in state.paths:
        assert isinstance(path.role, Role)
        assert isinstance(path.state, PathState)
        assert 0 <= path.loss <= 1
        assert 0 <= path.share <= 1
        assert path.rtt_ms >= 0
    assert all(len(text) <= MAX_SHOWN for text in (state.server, *state.error))


def test_properties_are_read() -> None:
    state = merged(
        OFFLINE,
        {
            "State": "degraded",
            "Since": 1_500_000,
            "Server": "vpn.example:443",
            "Addresses": ["10.0.0.2/32"],
            "Paths": {"wlan0": {"rtt_ms": 18.5, "loss": 0.5, "role": "backup", "state": "active"}},
            "LastError": ("Refused", "no more clients"),
        },
    )
    (path,) = state.paths
    assert state.state is TunnelState.DEGRADED
    assert state.since == 1.5
    assert state.error == ("Refused", "no more clients")
    assert (path.interface, path.rtt_ms, path.loss, path.role) == ("wlan0", 18.5, 0.5, Role.BACKUP)


def test_statistics_keep_what_they_do_not_tell() -> None:
    before = merged(OFFLINE, {"Paths": {"wlan0": {"kind": "wireless", "rtt_ms": 1.0}}})
    after = merged(before, {"Paths": {"wlan0": {"rtt_ms": 2.0}}})
    assert after.paths[0].kind is before.paths[0].kind
    assert after.paths[0].rtt_ms == 2.0


@given(st.text(max_size=2000))
def test_foreign_text_is_one_short_visible_line(text: str) -> None:
    shown = plain(text)
    assert len(shown) <= MAX_SHOWN
    assert shown == " ".join(shown.split())
    assert shown.isprintable()


def test_text_that_would_reorder_the_line_is_taken_apart() -> None:
    assert plain("safe\u202eevil\nline\x00") == "safe evil line"
    assert plain(b"bytes") == ""


def test_numbers_of_a_path_that_does_not_work_are_not_drawn() -> None:
    measured = [each for each in PathState if PathInfo(interface="x", state=each).is_measured]
    assert measured == [PathState.ACTIVE, PathState.SUSPECT]
