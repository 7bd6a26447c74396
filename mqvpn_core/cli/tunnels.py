"""``client``, ``server`` and ``check-config``: the commands that load a configuration."""

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from mqvpn_core.app.check_config import check_files, render_json, render_text
from mqvpn_core.app.config_files import (
    Loaded,
    Sources,
    load_config,
    with_descriptors_read,
)
from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.app.hide_arguments import hide_arguments
from mqvpn_core.app.journal import JOURNAL_SOCKET
from mqvpn_core.app.logging_setup import set_up_logging
from mqvpn_core.app.one_line import one_line
from mqvpn_core.app.privileges import missing_privilege
from mqvpn_core.app.secret_sources import ENVIRONMENT_VARIABLE
from mqvpn_core.cli.parsing import Parser
from mqvpn_core.cli.setting_options import GivenSettings, add_setting_options, negations
from mqvpn_core.cli.texts import PROGRAM
from mqvpn_core.config import ClientConfig, ServerConfig
from mqvpn_core.config.client_keys import SERVER_ADDRESS
from mqvpn_core.config.reference import render_reference
from mqvpn_core.config.setting import Role
from mqvpn_core.config.table import TABLE, settings_of
from mqvpn_core.errors import ConfigError

_LOGGER = logging.getLogger(__name__)
_ROLES = {role.value: role for role in Role}


def run_client(arguments: Sequence[str]) -> int:
    """``mqvpn-core client``."""
    given = GivenSettings()
    parser = Parser("client", "[HOST[:PORT]] [OPTIONS]")
    parser.add_argument("host", nargs="?", metavar="HOST[:PORT]", help="the server")
    _add_config_option(parser)
    add_setting_options(parser, settings_of(Role.CLIENT), given)
    namespace = parser.parse(arguments, _options_of(Role.SERVER))
    if namespace.host is not None:
        given.add(SERVER_ADDRESS, str(namespace.host), "HOST")
    return _run(_sources(Role.CLIENT, namespace, given), given)


def run_server(arguments: Sequence[str]) -> int:
    """``mqvpn-core server``."""
    given = GivenSettings()
    parser = Parser("server", "[OPTIONS]")
    _add_config_option(parser)
    add_setting_options(parser, settings_of(Role.SERVER), given)
    namespace = parser.parse(arguments, _options_of(Role.CLIENT))
    return _run(_sources(Role.SERVER, namespace, given), given)


def run_any(arguments: Sequence[str]) -> int:
    """``mqvpn-core --mode ...`` or ``mqvpn-core --config FILE``."""
    given = GivenSettings()
    parser = Parser("", "--mode client|server [OPTIONS]")
    _add_mode_option(parser)
    _add_config_option(parser)
    add_setting_options(parser, TABLE, given)
    namespace = parser.parse(arguments, {})
    return _run(_sources(_role(namespace), namespace, given), given)


def check_config(arguments: Sequence[str]) -> int:
    """``mqvpn-core check-config``."""
    given = GivenSettings()
    parser = Parser("check-config", "[FILE] [OPTIONS]")
    parser.add_argument("file", nargs="?", metavar="FILE", help="the configuration file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--reference", action="store_true", help="print all keys as Markdown")
    _add_mode_option(parser)
    _add_config_option(parser)
    add_setting_options(parser, TABLE, given)
    namespace = parser.parse(arguments, {})
    if namespace.reference:
        sys.stdout.write(render_reference())
        return ExitCode.OK
    if namespace.file is not None:
        namespace.config = namespace.file
    sources = _sources(_role(namespace), namespace, given)
    loaded = load_config(sources)
    warnings = _warnings(loaded, given)
    if namespace.json:
        sys.stdout.write(render_json(loaded, warnings))
    else:
        sys.stdout.write(render_text(loaded, sources.file))
        for warning in warnings:
            sys.stderr.write(f"warning: {one_line(warning)}\n")
    return ExitCode.OK


def _run(sources: Sources, given: GivenSettings) -> int:
    reloadable = with_descriptors_read(sources)
    loaded = load_config(reloadable)
    warnings = _warnings(loaded, given)
    _forget_secrets(given)
    config = loaded.config
    key = config.auth_key if isinstance(config, ClientConfig) else None
    secrets = [] if key is None else [key]
    set_up_logging(config.log_level, secrets=secrets, journal=JOURNAL_SOCKET)
    for warning in warnings:
        _LOGGER.warning("%s", warning)
    missing = missing_privilege()
    if missing is not None:
        _LOGGER.error("%s", missing)
        return ExitCode.PERMISSION
    if isinstance(config, ClientConfig):
        from mqvpn_core.app import client  # noqa: PLC0415 - keeps --help quick

        return client.run(config)
    from mqvpn_core.app import server  # noqa: PLC0415 - keeps --help quick

    return server.run(config, partial(_load_server, reloadable))


def _load_server(sources: Sources) -> ServerConfig:
    """Read the configuration again, at SIGHUP."""
    loaded = load_config(sources)
    if not isinstance(loaded.config, ServerConfig):
        raise ConfigError("the configuration is now that of a client")
    for warning in (*loaded.warnings, *check_files(loaded.config)):
        _LOGGER.warning("%s", warning)
    return loaded.config


def _warnings(loaded: Loaded, given: GivenSettings) -> tuple[str, ...]:
    warnings = [*loaded.warnings, *check_files(loaded.config)]
    if given.secrets():
        warnings.append(
            "a key on the command line can be seen by other users of this machine and stays in the"
            f" shell's history; use --auth-key-file or the environment variable"
            f" {ENVIRONMENT_VARIABLE}"
        )
    return tuple(warnings)


def _forget_secrets(given: GivenSettings) -> None:
    hide_arguments(given.secrets())
    os.environ.pop(ENVIRONMENT_VARIABLE, None)  # programs we start must not inherit it


def _sources(role: Role | None, namespace: argparse.Namespace, given: GivenSettings) -> Sources:
    file: str | None = namespace.config
    return Sources(
        role=role,
        file=None if file is None else Path(file),
        environment=dict(os.environ),
        options=tuple(given.by_name.values()),
    )


def _role(namespace: argparse.Namespace) -> Role | None:
    mode: str | None = namespace.mode
    if mode is None:
        return None
    if mode not in _ROLES:
        raise ConfigError(f"option --mode: must be client or server; see {PROGRAM} --help")
    return _ROLES[mode]


def _add_config_option(parser: Parser) -> None:
    parser.add_argument("--config", metavar="FILE", help="read settings from this file first")


def _add_mode_option(parser: Parser) -> None:
    parser.add_argument("--mode", metavar="client|server", help="which side to be")


def _options_of(role: Role) -> Mapping[str, str]:
    return {
        option: role.value
        for setting in settings_of(role)
        for option in (setting.option, *setting.options, *negations(setting))
    }
