"""From texts to configurations: origins in messages, precedence, and what excludes what."""

import itertools
from ipaddress import ip_network
from pathlib import Path

import pytest

from mqvpn_core.config import (
    CongestionControl,
    HashedKey,
    KillSwitchSetting,
    LogLevel,
    Scheduler,
    Secret,
)
from mqvpn_core.config.build import build_client, build_server
from mqvpn_core.config.setting import Role
from mqvpn_core.config.table import settings_of
from mqvpn_core.errors import ConfigError
from mqvpn_core.quic.congestion import CONGESTION_CONTROLLERS
from tests.unit.config.samples import (
    KEY,
    MINIMAL_SERVER,
    PIN,
    SALT,
    client,
    raw,
    server,
)


def test_message_names_place_key_and_what_is_allowed() -> None:
    with pytest.raises(ConfigError) as caught:
        client(mtu="99")
    assert str(caught.value) == "test.toml:1: mtu: '99' is not a whole number from 576 to 65535"


def test_the_later_source_wins() -> None:
    config, _ = build_client([*raw(server="a", mtu="1300"), *raw(mtu="1400"), *raw(server="b")])
    assert (config.server.host, config.mtu) == ("b", 1400)


def test_a_wrong_value_counts_even_when_no_field_holds_it() -> None:
    with pytest.raises(ConfigError, match="kill switch"):
        server(kill_switch="true")
    assert server(kill_switch="false")[0].listen == server()[0].listen


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("true", KillSwitchSetting.STANDARD),
        ("standard", KillSwitchSetting.STANDARD),
        ("Always", KillSwitchSetting.ALWAYS),
        ("no", KillSwitchSetting.OFF),
        ("off", KillSwitchSetting.OFF),
    ],
)
def test_kill_switch_is_a_word_or_a_boolean(text: str, mode: KillSwitchSetting) -> None:
    assert client(kill_switch=text)[0].kill_switch is mode


def test_kill_switch_wants_name_servers_that_it_does_not_block() -> None:
    _, warnings = client(kill_switch="true")
    assert any("kill_switch without dns" in warning for warning in warnings)
    _, warnings = client(kill_switch="true", dns=("10.0.0.1",))
    assert not any("kill_switch" in warning for warning in warnings)
    assert "allow_lan has no effect without kill_switch" in client(allow_lan="true")[1]


def test_split_takes_networks_addresses_and_names() -> None:
    config, _ = client(split_exclude=("192.0.2.0/24", "2001:db8::1", "Intranet.Example.ORG"))
    assert config.split_exclude == (
        ip_network("192.0.2.0/24"),
        ip_network("2001:db8::1/128"),
        "intranet.example.org",
    )
    config, _ = client(split_cgroups=("/sys/fs/cgroup/user.slice/games/", "a/b"))
    assert config.split_cgroups == ("user.slice/games", "a/b")


@pytest.mark.parametrize("missing", list(MINIMAL_SERVER))
def test_missing_key_of_a_server_is_named(missing: str) -> None:
    given = {name: value for name, value in MINIMAL_SERVER.items() if name != missing}
    with pytest.raises(ConfigError) as caught:
        build_server(raw(**given), salt=SALT)
    assert missing in str(caught.value)
    assert "--" + missing.replace("_", "-") in str(caught.value)


def test_missing_server_of_a_client_is_named() -> None:
    with pytest.raises(ConfigError, match=r"needs server .*--server HOST:PORT"):
        build_client([])


@pytest.mark.parametrize("role", Role)
def test_key_of_the_other_role_is_refused(role: Role) -> None:
    other = Role.SERVER if role is Role.CLIENT else Role.CLIENT
    names = {s.name for s in settings_of(other)} - {s.name for s in settings_of(role)}
    build = client if role is Role.CLIENT else server
    for name in names:
        with pytest.raises(ConfigError, match=f"{name} has no meaning for a {role.value}"):
            build(**{name: "x"})


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"ipv4": "false", "ipv6": "false"}, "nothing could pass"),
        ({"pins": PIN, "insecure": "true"}, "exclude each other"),
        ({"mtu": "1279"}, "too small for IPv6"),
        ({"keep_alive": "30", "idle_timeout": "30"}, "less than idle_timeout"),
        ({"auth_key": HashedKey.from_key(Secret(KEY), SALT).to_text()}, "needs the key itself"),
        ({"kill_switch": "perhaps"}, "off, standard, always"),
        ({"kill_switch": "true", "split_include": ("192.0.2.0/24",)}, "exclude each other"),
        ({"manage_routes": "false", "split_exclude": ("192.0.2.0/24",)}, "needs routes"),
        ({"split_exclude": ("*.example.org",)}, "is a pattern"),
        ({"split_exclude": ("192.0.2.1/24",)}, "bits set behind the prefix"),
        ({"split_cgroups": ("a/../b",)}, "control group"),
        ({"split_cgroups": ('a" accept',)}, "control group"),
        ({"tun_name": ""}, "interface name"),
        ({"template": ""}, "visible ASCII"),
    ],
)
def test_client_settings_that_cannot_be(texts: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        client(**texts)


def test_small_mtu_is_allowed_without_ipv6() -> None:
    assert client(mtu="1279", ipv6="false")[0].mtu == 1279
    assert server(mtu="1279")[0].mtu == 1279


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"auth_key": ""}, "a server needs auth_key, users or users_file"),
        ({"auth_key": "fifteen-chars.."}, "fewer than 16 characters"),
        ({"users": ("alice:short",)}, "alice: the key has fewer than 16"),
        ({"users": ("alice:" + "a" * 16, "alice:" + "b" * 16)}, "two users alice"),
        ({"users": ("alice:" + "a" * 16, "bob:" + "a" * 16)}, "bob has the same key as alice"),
        ({"users": ("alice:" + KEY,)}, "alice has the same key as auth_key"),
        ({"mtu": "1279", "subnet6": "fd00::/64"}, "too small for IPv6"),
        ({"advertise": ("fd00::/64",)}, "without subnet6 there is no IPv6"),
        ({"kill_switch": "true"}, "a server has no kill switch"),
    ],
)
def test_server_settings_that_cannot_be(texts: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        server(**texts)


def test_no_message_or_repr_shows_a_key() -> None:
    secrets = ["short-secret", "sixteen-characters-and-more", "blank in secret"]
    shown: list[str] = []
    for first, second in itertools.product(secrets, repeat=2):
        for texts in (
            {"auth_key": first},
            {"auth_key": KEY, "users": (f"a:{first}", f"b:{second}")},
        ):
            for build in (client, server):
                try:
                    config, warnings = build(**texts)
                    shown += [repr(config), str(config), *warnings]
                except ConfigError as error:
                    shown.append(str(error))
    assert len(shown) > 20
    assert not any(secret in text for secret in [*secrets, KEY] for text in shown)


def test_server_leaves_signs_of_life_to_its_clients() -> None:
    config, _ = server(idle_timeout="5")
    assert (config.quic.keep_alive, config.quic.idle_timeout) == (0.0, 5.0)


def test_users_may_be_keys_or_hashes() -> None:
    hashed = HashedKey.from_key(Secret("some-key-of-somebody"), bytes(16))
    config, _ = server(users=("alice:another-key-of-hers", f"bob:{hashed.to_text()}"))
    assert config.users == {
        "alice": HashedKey.from_key(Secret("another-key-of-hers"), SALT),
        "bob": hashed,
    }


def test_users_alone_are_enough() -> None:
    config, _ = build_server(raw(cert_file="c", key_file="k", users=(f"alice:{KEY}",)), salt=SALT)
    assert config.shared_key is None


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"insecure": "true"}, "INSECURE"),
        ({}, "no auth_key is set"),
        ({"auth_key": "short"}, "fewer than 16 characters"),
        ({"auth_key": KEY, "scheduler": "wlb"}, "scheduler wlb is not ours; weighted is used"),
        ({"auth_key": KEY, "congestion_control": "Copa"}, "Copa is not ours; bbr is used"),
        ({"auth_key": KEY, "control_listen": "127.0.0.1:9"}, "no control interface over TCP"),
    ],
)
def test_client_is_warned(texts: dict[str, str], says: str) -> None:
    _config, warnings = client(**texts)
    assert any(says in warning for warning in warnings)


def test_a_good_configuration_earns_no_warning() -> None:
    assert client(auth_key=KEY)[1] == ()
    assert server()[1] == ()


def test_server_is_warned_of_a_pool_smaller_than_its_limit() -> None:
    assert "room for 13 clients" in server(subnet="10.0.0.0/28")[1][0]
    assert "room for 5 clients" in server(subnet6="fd00::/125")[1][0]


@pytest.mark.parametrize(
    ("name", "member"),
    [("minrtt", Scheduler.MINRTT), ("WLB", Scheduler.WEIGHTED), ("rap", Scheduler.REDUNDANT)],
)
def test_schedulers_of_the_c_program(name: str, member: Scheduler) -> None:
    assert client(scheduler=name)[0].quic.scheduler is member


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("bbr", CongestionControl.BBR),
        ("BBR2", CongestionControl.BBR),
        ("none", CongestionControl.BBR),
        ("cubic", CongestionControl.CUBIC),
        ("reno", CongestionControl.NEWRENO),
    ],
)
def test_congestion_controls_of_the_c_program(name: str, member: CongestionControl) -> None:
    assert client(congestion_control=name)[0].quic.congestion_control is member


def test_every_congestion_control_exists() -> None:
    assert {member.value for member in CongestionControl} == set(CONGESTION_CONTROLLERS)


def test_values_of_the_c_program() -> None:
    assert client(log_level="warn")[0].log_level is LogLevel.WARNING
    with pytest.raises(ConfigError, match="not one of: weighted"):
        client(scheduler="fastest")


def test_control_socket_follows_the_device_unless_told() -> None:
    assert client(tun_name="tun7")[0].control_socket == Path("/run/mqvpn/tun7.sock")
    assert client(control_socket="off")[0].control_socket is None
    assert client(control_socket="/x/y")[0].control_socket == Path("/x/y")


def test_tls_name_is_the_host_unless_told() -> None:
    assert client()[0].tls_name == "vpn.example.org"
    assert client(server_name="other.example.org")[0].tls_name == "other.example.org"
