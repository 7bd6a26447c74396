"""From files, environment and options to one checked configuration.

The weakest source first: defaults, the file, the environment (``MQVPN_AUTH_KEY``), the options of
the command line.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from mqvpn_core.app.config_formats import ParsedText, detect_format, parse_text
from mqvpn_core.app.given_files import read_given_file
from mqvpn_core.app.secret_sources import (
    ENVIRONMENT_VARIABLE,
    exposure_of,
    is_descriptor,
    read_secret,
)
from mqvpn_core.app.users_file import read_users_file
from mqvpn_core.config import ClientConfig, ServerConfig
from mqvpn_core.config.build import RawSetting, build_client, build_server
from mqvpn_core.config.common_keys import AUTH_KEY, AUTH_KEY_FILE
from mqvpn_core.config.secret_values import is_hashed_key
from mqvpn_core.config.server_keys import USERS, USERS_FILE
from mqvpn_core.config.setting import Role
from mqvpn_core.errors import ConfigError

Config: TypeAlias = ClientConfig | ServerConfig
"""The configuration of either role."""

_SALT_BYTES = 16
_WORDS = frozenset({"auto", "off"})
_ROOTED = ("fd:", "~/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where a configuration comes from."""

    role: Role | None = None
    """The role the command names; ``None``: the file has to tell."""
    file: Path | None = None
    """The configuration file."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Environment variables."""
    options: Sequence[RawSetting] = ()
    """Options of the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration that may be used."""

    config: Config
    """The configuration."""
    warnings: tuple[str, ...]
    """What the user should know, one line each."""


def load_config(sources: Sources) -> Loaded:
    """Read all sources and return what they add up to.

    Raises:
        ConfigError: a source cannot be read, or what they say is not allowed.
    """
    warnings: list[str] = []
    parsed = ParsedText(role=None, settings=(), is_lenient=False)
    if sources.file is not None:
        parsed = load_file(sources.file)
    role = _agree_on_role(sources, parsed)
    from_file = _of_role(parsed, role, warnings)
    if sources.file is not None and _holds_plain_key(from_file):
        exposure = exposure_of(sources.file)
        warnings += [exposure] if exposure is not None else []
    raw = (
        *_with_secret_read(from_file, warnings),
        *_from_environment(sources.environment),
        *_with_secret_read(sources.options, warnings),
    )
    config: Config
    if role is Role.CLIENT:
        config, more = build_client(raw)
    else:
        config, more = build_server(_with_users_of_file(raw), salt=secrets.token_bytes(_SALT_BYTES))
    return Loaded(config=config, warnings=(*warnings, *more))


def with_descriptors_read(sources: Sources) -> Sources:
    """Return ``sources`` with every ``fd:N`` among the options replaced by the key it held.

    A descriptor can be read once; after this the sources can be loaded again and again.

    Raises:
        ConfigError: as `load_config`.
    """
    is_once = any(
        raw.setting is AUTH_KEY_FILE and is_descriptor(raw.texts[-1]) for raw in sources.options
    )
    if not is_once:
        return sources
    return replace(sources, options=_with_secret_read(sources.options, []))


def load_file(path: Path) -> ParsedText:
    """Read one configuration file; names of files in it are relative to its directory.

    Raises:
        ConfigError: it cannot be read, is too large, no text, or not well-formed.
    """
    data = read_given_file(path, "a configuration file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ConfigError(f"{path}: binary data, not a text file in UTF-8")
    parsed = parse_text(text, str(path), detect_format(text, path.name))
    settings = tuple(_resolved(raw, path.parent) for raw in parsed.settings)
    return replace(parsed, settings=settings)


def _resolved(raw: RawSetting, directory: Path) -> RawSetting:
    text = raw.texts[-1] if raw.texts else ""
    if not raw.setting.is_file or not text or text.lower() in _WORDS or text.startswith(_ROOTED):
        return raw
    return replace(raw, texts=(str(directory / text),))


def _agree_on_role(sources: Sources, parsed: ParsedText) -> Role:
    if sources.role is not None:
        if parsed.role is not None and parsed.role is not sources.role:
            raise ConfigError(
                f"{sources.file}: this is the configuration of a {parsed.role.value}, and the"
                f" command line asks for a {sources.role.value}"
            )
        return sources.role
    if parsed.role is None:
        raise ConfigError(
            'client or server? Say "mqvpn-core client" or "mqvpn-core server" (or --mode), or'
            ' write mode = "client" or mode = "server" into the configuration file'
        )
    return parsed.role


def _of_role(parsed: ParsedText, role: Role, warnings: list[str]) -> list[RawSetting]:
    kept: list[RawSetting] = []
    for raw in parsed.settings:
        if role in raw.setting.roles or not parsed.is_lenient:
            kept.append(raw)
        else:
            warnings.append(
                f"{raw.origin}: {raw.setting.name} has no meaning for a {role.value}; skipped"
            )
    return kept


def _with_users_of_file(raw: Sequence[RawSetting]) -> Sequence[RawSetting]:
    """Add the users of ``users_file`` to those that are named elsewhere."""
    files = [item for item in raw if item.setting is USERS_FILE]
    if not files or not files[-1].texts[-1]:
        return raw
    path = Path(files[-1].texts[-1]).expanduser()
    named = [item for item in raw if item.setting is USERS]
    texts = tuple(f"{name}:{key.to_text()}" for name, key in read_users_file(path).items())
    texts = (*(named[-1].texts if named else ()), *texts)
    return (*raw, RawSetting(setting=USERS, texts=texts, origin=str(path)))


def _holds_plain_key(settings: Sequence[RawSetting]) -> bool:
    for raw in settings:
        if raw.setting is AUTH_KEY and not all(is_hashed_key(text) for text in raw.texts):
            return True
        if raw.setting is USERS and not all(
            is_hashed_key(text.partition(":")[2]) for text in raw.texts
        ):
            return True
    return False


def _from_environment(environment: Mapping[str, str]) -> list[RawSetting]:
    key = environment.get(ENVIRONMENT_VARIABLE, "")
    if not key:
        return []
    origin = f"environment variable {ENVIRONMENT_VARIABLE}"
    return [RawSetting(setting=AUTH_KEY, texts=(key,), origin=origin)]


def _with_secret_read(settings: Sequence[RawSetting], warnings: list[str]) -> list[RawSetting]:
    """Replace ``auth_key_file`` by the key it names."""
    result: list[RawSetting] = []
    for raw in settings:
        if raw.setting is not AUTH_KEY_FILE or not raw.texts[-1]:
            result.append(raw)
            continue
        if any(other.setting is AUTH_KEY for other in settings):
            raise ConfigError(f"{raw.origin}: auth_key and auth_key_file exclude each other")
        try:
            secret, warning = read_secret(raw.texts[-1])
        except ConfigError as error:
            raise ConfigError(f"{raw.origin}: auth_key_file: {error}") from None
        warnings += [warning] if warning is not None else []
        result.append(RawSetting(setting=AUTH_KEY, texts=(secret,), origin=raw.origin))
    return result
