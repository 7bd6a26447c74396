"""Whatever a file holds: settings or one ConfigError of one line, never anything else."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mqvpn_core.app.config_files import Sources, load_config
from mqvpn_core.app.config_formats import Format, detect_format, parse_text
from mqvpn_core.config.table import TABLE
from mqvpn_core.errors import ConfigError

pytestmark = pytest.mark.slow

_KEYS = [name for s in TABLE for name in (s.name, s.json) if name] + ["mode", "name", "key"]
_INI_LINES = [f"[{s.ini.split('.')[0]}]" for s in TABLE if s.ini] + [
    f"{s.ini.split('.')[1]} = " for s in TABLE if s.ini
]
_PIN = "sha256/" + "A" * 43 + "="
_WORDS = st.sampled_from(
    [
        *("", "true", "off", "auto", "client", "server", "-1", "1300", "a:b", "fd:99", _PIN),
        *("10.0.0.0/24", "::/0", "[::]:443", "sha256:00:11", "{target}", "\u2028", "\ud7ff"),
    ]
)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | _WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=6)


def _one_line_or_settings(text: str, form: Format) -> None:
    try:
        parse_text(text, "f", form)
    except ConfigError as error:
        message = str(error)
        assert message.startswith("f:")
        assert "\n" not in message
        assert len(message) < 1000


@given(st.text(max_size=200), st.sampled_from(Format))
@example("[[[[", Format.TOML)
@example("a = 1e999999", Format.TOML)
@example("a = 0000-00-00", Format.TOML)
@example('{"a": 1e999999}', Format.JSON)
@example('"\\ud800"', Format.JSON)
@example("[\n]", Format.INI)
def test_any_text(text: str, form: Format) -> None:
    detect_format(text, "f")
    _one_line_or_settings(text, form)


@given(_OBJECTS)
def test_any_json_object(value: object) -> None:
    _one_line_or_settings(json.dumps(value), Format.JSON)


@given(st.lists(st.tuples(st.sampled_from(_KEYS), _VALUES), max_size=6))
def test_any_toml_lines(pairs: list[tuple[str, object]]) -> None:
    text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in pairs)
    _one_line_or_settings(text, Format.TOML)


@given(st.lists(st.tuples(st.sampled_from(_INI_LINES) | st.text(max_size=10), _WORDS), max_size=12))
def test_any_ini_lines(lines: list[tuple[str, str]]) -> None:
    _one_line_or_settings("\n".join(a + b for a, b in lines), Format.INI)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | _OBJECTS.map(lambda value: json.dumps(value).encode())
    | st.lists(st.tuples(st.sampled_from(_INI_LINES), _WORDS), max_size=12).map(
        lambda lines: "\n".join(a + b for a, b in lines).encode("utf-8", "replace")
    ),
)
def test_any_file_is_loaded_or_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "f.conf"
    file.write_bytes(content)
    try:
        load_config(Sources(file=file))
    except ConfigError as error:
        message = str(error)
        assert "\n" not in message
