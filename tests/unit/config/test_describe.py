"""A described configuration shows everything but secrets, and builds itself again."""

import json
from dataclasses import replace
from typing import cast

import pytest

from mqvpn_core.config import ClientConfig, ServerConfig
from mqvpn_core.config.build import build_client, build_server
from mqvpn_core.config.describe import HIDDEN, PlainValue, describe
from mqvpn_core.config.setting import Role
from mqvpn_core.config.table import BY_NAME
from tests.unit.config.samples import SALT, client, raw, server
from tests.unit.config.test_table import SAMPLES

USERS_KEY = "another-key-of-hers"


def _texts(value: PlainValue) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return tuple(f"{link}={setting}" for link, setting in value.items())
    return (str(value).lower() if isinstance(value, bool) else str(value),)


def _samples(role: Role) -> dict[str, tuple[str, ...]]:
    excluded = {"insecure", "ipv6", "manage_routes", "split_include"}
    skipped = excluded if role is Role.CLIENT else {"kill_switch"}
    return {
        name: texts
        for name, texts in SAMPLES.items()
        if role in BY_NAME[name].roles and name not in skipped
    }


def test_described_client_builds_itself_again() -> None:
    config, _ = client(**_samples(Role.CLIENT))
    described = describe(config)
    assert described.pop("auth_key") == HIDDEN
    texts = {name: _texts(value) for name, value in described.items()}
    again, _ = build_client(raw(**texts, auth_key=SAMPLES["auth_key"]))
    assert again == config


def test_described_server_builds_itself_again() -> None:
    config, _ = server(**_samples(Role.SERVER))
    described = describe(config)
    assert described.pop("auth_key") == HIDDEN
    assert described.pop("users") == {"alice": HIDDEN}
    texts = {name: _texts(value) for name, value in described.items()}
    secrets = {name: SAMPLES[name] for name in ("auth_key", "users")}
    again, _ = build_server(raw(**texts, **secrets), salt=SALT)
    assert again == config


@pytest.mark.parametrize("config", [client(auth_key=USERS_KEY)[0], server(auth_key=USERS_KEY)[0]])
def test_description_is_json_without_secrets(config: ClientConfig | ServerConfig) -> None:
    text = json.dumps(describe(config))
    assert USERS_KEY not in text
    assert SALT.hex() not in text


def test_value_that_nobody_taught_to_describe_is_an_error() -> None:
    config = replace(client()[0], tun_name=cast("str", b"bytes"))
    with pytest.raises(TypeError, match="tun_name has a bytes"):
        describe(config)
