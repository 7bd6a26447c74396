"""Default roles by kind of link reach the helper as patterns, after the server's own."""

from mqvpn_gui.model.helper_state import LinkKind
from mqvpn_gui.model.link_roles import MAX_ROLES, PATTERNS, with_default_roles
from mqvpn_gui.model.preferences import Preferences
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import PathRole

HOST = Profile(host="vpn.example.org")


def test_as_usual_changes_nothing() -> None:
    assert with_default_roles(HOST, Preferences()) == HOST
    assert with_default_roles(HOST, Preferences(role_wired="nonsense")) == HOST


def test_wish_becomes_patterns_that_the_helper_takes() -> None:
    made = with_default_roles(HOST, Preferences(role_cellular="never", role_wireless="secondary"))
    roles = dict(made.roles)
    assert all(roles[each] is PathRole.NEVER for each in PATTERNS[LinkKind.CELLULAR])
    assert all(roles[each] is PathRole.SECONDARY for each in PATTERNS[LinkKind.WIRELESS])
    assert Profile.from_mapping(made.to_mapping()) == made


def test_settings_of_the_server_go_first() -> None:
    own = Profile(host="vpn.example.org", roles=(("wwan*", PathRole.PRIMARY),))
    made = with_default_roles(own, Preferences(role_cellular="never"))
    assert made.roles[0] == ("wwan*", PathRole.PRIMARY)
    assert dict(made.roles)["wwan*"] is PathRole.PRIMARY


def test_there_are_never_too_many() -> None:
    many = tuple((f"eth{number}", PathRole.BACKUP) for number in range(MAX_ROLES))
    own = Profile(host="vpn.example.org", roles=many)
    assert with_default_roles(own, Preferences(role_wired="primary")).roles == many
