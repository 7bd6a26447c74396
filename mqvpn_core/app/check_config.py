"""``check-config``: what a configuration comes to, with every secret hidden."""

import datetime as dt
import json
from pathlib import Path

from mqvpn_core.app.certificates import check_client_files, check_server_files
from mqvpn_core.app.config_files import Loaded
from mqvpn_core.app.one_line import one_line
from mqvpn_core.config import ClientConfig, ServerConfig
from mqvpn_core.config.describe import PlainValue, describe
from mqvpn_core.config.setting import Role


def check_files(config: ClientConfig | ServerConfig) -> tuple[str, ...]:
    """Return warnings about the files a configuration names.

    Raises:
        ConfigError: one cannot be used.
    """
    match config:
        case ClientConfig():
            return check_client_files(config)
        case ServerConfig():
            return check_server_files(config, dt.datetime.now(dt.UTC))


def render_text(loaded: Loaded, source: Path | None) -> str:
    """Return the effective settings in the form of a TOML file."""
    origin = "the command line" if source is None else str(source)
    lines = [f"# in effect, from {one_line(origin)}", f'mode = "{_role(loaded).value}"']
    tables: list[str] = []
    for name, value in describe(loaded.config).items():
        if isinstance(value, dict):
            tables += ["", f"[{name}]", *(f"{key} = {_toml(text)}" for key, text in value.items())]
        else:
            lines.append(f"{name} = {_toml(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def render_json(loaded: Loaded, warnings: tuple[str, ...]) -> str:
    """Return the effective settings and all warnings as JSON."""
    report = {
        "mode": _role(loaded).value,
        "settings": describe(loaded.config),
        "warnings": list(warnings),
    }
    return json.dumps(report, indent=2) + "\n"


def _role(loaded: Loaded) -> Role:
    return Role.CLIENT if isinstance(loaded.config, ClientConfig) else Role.SERVER


def _toml(value: PlainValue) -> str:
    # TOML writes booleans, numbers, strings and arrays of them as JSON does.
    return json.dumps(value)
