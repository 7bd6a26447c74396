"""What check-config prints."""

import json
import tomllib
from pathlib import Path

import pytest

from mqvpn_core.app.check_config import check_files, render_json, render_text
from mqvpn_core.app.config_files import Config, Loaded
from mqvpn_core.config.describe import HIDDEN, describe
from mqvpn_core.errors import ConfigError
from tests.unit.config.samples import KEY, client, server


@pytest.mark.parametrize(
    ("config", "mode"),
    [(client(auth_key=KEY)[0], "client"), (server(users=("alice:" + "a" * 20,))[0], "server")],
)
def test_text_is_toml_and_json_is_json(config: Config, mode: str) -> None:
    loaded = Loaded(config=config, warnings=())
    text = render_text(loaded, Path("a\nb.toml"))
    assert text.startswith("# in effect, from a\\nb.toml\n")
    assert tomllib.loads(text) == {"mode": mode, **describe(config)}
    assert json.loads(render_json(loaded, ("w",))) == {
        "mode": mode,
        "settings": describe(config),
        "warnings": ["w"],
    }
    assert KEY not in text
    assert HIDDEN in text


def test_files_are_checked() -> None:
    assert check_files(client()[0]) == ()
    with pytest.raises(ConfigError, match=r"c\.pem: No such file"):
        check_files(server()[0])
