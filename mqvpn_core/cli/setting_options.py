"""Options made from the table of keys: ``--tun-name`` for ``tun_name``, and so on."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from mqvpn_core.config.build import RawSetting
from mqvpn_core.config.setting import Form, Group, Setting

_YES_OR_NO = frozenset({Form.BOOLEAN, Form.SWITCH})
_VALUES_TAKEN: Mapping[Form, int | str] = {Form.BOOLEAN: 0, Form.SWITCH: "?"}
_REPEATED = frozenset({Form.LIST, Form.TABLE, Form.USERS})
_EXTRA_NEGATIONS = {"manage_routes": ("--no-routes",)}


@dataclass(slots=True, kw_only=True)
class GivenSettings:
    """The keys that a command line gave, in order."""

    by_name: dict[str, RawSetting] = field(default_factory=dict)
    """The keys."""

    def add(self, setting: Setting[object], text: str, origin: str) -> None:
        """Note one value; lists grow, of other keys the last value counts."""
        texts: tuple[str, ...] = (text,)
        if setting.form in {Form.LIST, Form.TABLE}:
            texts = tuple(item.strip() for item in text.split(",") if item.strip())
        if setting.form in _REPEATED and setting.name in self.by_name:
            texts = (*self.by_name[setting.name].texts, *texts)
        self.by_name[setting.name] = RawSetting(setting=setting, texts=texts, origin=origin)

    def secrets(self) -> tuple[str, ...]:
        """Return the secrets that stood on the command line."""
        return tuple(
            text.partition(":")[2] if raw.setting.form is Form.USERS else text
            for raw in self.by_name.values()
            if raw.setting.is_secret
            for text in raw.texts
        )


def add_setting_options(
    parser: argparse.ArgumentParser, settings: Iterable[Setting[object]], given: GivenSettings
) -> None:
    """Give ``parser`` an option for each setting; their values go to ``given``."""
    chosen = tuple(settings)
    for group in Group:
        members = [setting for setting in chosen if setting.group is group]
        if members:
            heading = parser.add_argument_group(group.value)
            for setting in members:
                _add_option(heading, setting, given)


def negations(setting: Setting[object]) -> tuple[str, ...]:
    """Return the options that say no to a yes-or-no setting."""
    if setting.form not in _YES_OR_NO:
        return ()
    return ("--no-" + setting.option.removeprefix("--"), *_EXTRA_NEGATIONS.get(setting.name, ()))


def help_text(setting: Setting[object]) -> str:
    """Return the documentation of one option."""
    if setting.default is None:
        default = "required"
    elif setting.default in {(), ("",)}:
        default = ""
    else:
        default = "default: " + ", ".join(setting.default)
    notes = [note for note in (setting.allowed, default) if note]
    if setting.form is Form.BOOLEAN:
        notes = [default]
    if setting.form in _REPEATED:
        notes.append("may be repeated")
    return f"{setting.doc} ({'; '.join(notes)})".replace("%", "%%")


def _add_option(
    heading: argparse._ArgumentGroup,
    setting: Setting[object],
    given: GivenSettings,
) -> None:
    heading.add_argument(
        setting.option,
        *setting.options,
        *negations(setting),
        action=_Collect,
        nargs=_VALUES_TAKEN.get(setting.form),
        metavar=setting.placeholder or None,
        help=help_text(setting),
        dest=argparse.SUPPRESS,
        setting=setting,
        given=given,
    )


class _Collect(argparse.Action):
    """Hands the value of an option to GivenSettings."""

    def __init__(  # noqa: PLR0913 - argparse passes these as keywords
        self,
        option_strings: Sequence[str],
        dest: str,
        *,
        setting: Setting[object],
        given: GivenSettings,
        nargs: int | str | None,
        metavar: str | None,
        help: str,  # noqa: A002 - the name is argparse's
    ) -> None:
        super().__init__(option_strings, dest, nargs=nargs, metavar=metavar, help=help)
        self._setting = setting
        self._given = given
        self._negations = negations(setting)

    @override
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        option = option_string or self._setting.option
        if self._setting.form in _YES_OR_NO and (option in self._negations or not values):
            text = "false" if option in self._negations else "true"
        else:
            text = str(values)
        self._given.add(self._setting, text, f"option {option}")
