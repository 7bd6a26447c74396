"""A client under the helper: its configuration and what it reports, in the helper's words."""

import pytest

from mqvpn_core.app.helper_reports import event_report
from mqvpn_core.app.under_helper import client_config
from mqvpn_core.config import LinkRole, RoutesMode, Scheduler
from mqvpn_core.config.parsing import pin
from mqvpn_core.errors import ConfigError
from mqvpn_core.runtime.event_values import CoreEvent, EventKind
from mqvpn_helper.interface.bus_names import BusEventKind
from mqvpn_helper.interface.control_messages import MAX_DETAILS
from mqvpn_helper.interface.core_coding import decode_core_message, encode_core_message
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.session.plan_making import core_profile
from tests.session.samples import FULL_PROFILE, PIN

FULL = core_profile(Profile.from_mapping(FULL_PROFILE))


def test_every_wish_of_a_profile_arrives() -> None:
    config = client_config(FULL, "a-key-of-some-length", None)
    assert str(config.server) == "vpn.example.org:4433"
    assert config.tls_name == "other.example.org"
    assert config.pins == (pin(PIN),)
    assert config.auth_key is not None
    assert config.auth_key.reveal() == "a-key-of-some-length"
    assert config.template == FULL.template
    assert (config.mtu, config.routes) == (1400, RoutesMode.ADVERTISED)
    assert config.roles == (("wwan*", LinkRole.BACKUP),)
    assert config.caps == (("wwan0", 5_000_000_000),)
    assert config.rate_limits == (("wwan0", 125_000),)
    assert config.paths == ("wlan0", "wwan*")
    assert (config.quic.keep_alive, config.quic.idle_timeout) == (10.0, 20.0)
    assert config.quic.scheduler is Scheduler.MINRTT
    assert config.split_exclude == ("bank.example.org",)
    assert config.split_include == ("localhost",)


def test_what_needs_privilege_or_a_file_is_off() -> None:
    config = client_config(Profile.from_mapping({"server": "192.0.2.1"}), "", None)
    assert config.auth_key is None
    assert config.control_socket is config.usage_file is config.qlog is None
    assert config.dns == ()
    assert config.kill_switch.value == "off"
    assert config.manage_routes


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError):
        client_config(FULL, "two words", None)


def _event(kind: EventKind, **details: str | float) -> CoreEvent:
    return CoreEvent(
        number=1, at=1.0, wall=2.0, kind=kind, text="a\nb", interface="wlan0", details=details
    )


@pytest.mark.parametrize("kind", EventKind)
def test_events_are_told_in_words_that_the_helper_takes(kind: EventKind) -> None:
    report = event_report(_event(kind, gap_ms=12.5, reason="x\x1by"))
    if kind in {EventKind.MTU_CHANGED, EventKind.KEY_UPDATED}:
        assert report is None
        return
    assert report is not None
    assert decode_core_message(encode_core_message(report)) == report
    assert report.path == "wlan0"
    assert report.detail["text"] == "a b"
    assert report.detail["gap_ms"] == 12.5
    assert report.detail["reason"] == "x y"


def test_a_failover_stays_one() -> None:
    report = event_report(_event(EventKind.FAILOVER, **{f"x{n}": n for n in range(40)}))
    assert report is not None
    assert report.kind is BusEventKind.FAILOVER
    assert len(report.detail) == MAX_DETAILS
