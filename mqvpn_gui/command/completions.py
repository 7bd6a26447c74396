"""Completion for bash, zsh and fish, made from the parsers themselves.

Each script is a table of words by the commands typed so far, so completing starts no program; only
names of profiles are asked for, from ``mqvpn complete``.
"""

import argparse
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mqvpn_gui.command.context import Context
from mqvpn_gui.command.exit_codes import ExitCode
from mqvpn_gui.command.parsing import Command, Takes
from mqvpn_gui.user.names import PROGRAM

SHELLS = ("bash", "zsh", "fish")
"""Shells there is a script for."""

_INTERFACES = Path("/sys/class/net")
_Offer = Callable[[Sequence[str], Takes], str]
_PLAIN = re.compile(r"[A-Za-z0-9._@-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Something that may be typed after a command."""

    text: str
    """The word; of an option with a short form, the long one."""
    summary: str
    """One line about it."""
    takes_value: bool = False
    """A value has to follow."""
    values: tuple[str, ...] = ()
    """All values there are."""
    kind: Takes = Takes.ANYTHING
    """What else the value is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What may be typed behind one command."""

    path: str
    """The command with those above it; empty for the program itself."""
    words: tuple[Word, ...]
    """Sub-commands and options."""
    values: tuple[str, ...] = ()
    """All values of its argument."""
    kind: Takes = Takes.ANYTHING
    """What else its argument is."""


def places_of(commands: Sequence[Command], path: str = "") -> Iterator[Place]:
    """Give every place of a tree of commands."""
    words = [Word(text=each.name, summary=each.summary) for each in commands]
    if not path:
        words += [
            Word(text="--help", summary="show what there is"),
            Word(text="--version", summary="show the version"),
        ]
    yield Place(path=path, words=tuple(words))
    for command in commands:
        below = f"{path} {command.name}".strip()
        if command.children:
            yield from places_of(command.children, below)
        else:
            yield _place_of(command, below)


def _place_of(command: Command, path: str) -> Place:
    words: list[Word] = []
    values: tuple[str, ...] = ()
    kind = Takes.ANYTHING
    for action, takes in command.parser(path).known:
        choices = tuple(str(each) for each in action.choices or ())
        if action.option_strings:
            longest = max(action.option_strings, key=len)
            words.append(
                Word(
                    text=longest,
                    summary=action.help or "",
                    takes_value=action.nargs is None,
                    values=choices,
                    kind=takes,
                )
            )
        else:
            values, kind = choices, takes
    return Place(path=path, words=tuple(words), values=values, kind=kind)


def print_completions(commands: Sequence[Command], shell: str, context: Context) -> int:
    """``mqvpn completions``."""
    context.show(*_WRITERS[shell](tuple(places_of(commands))))
    return ExitCode.OK


def complete_names(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn complete``: names that are safe to put into a command line as they are."""
    if namespace.what == Takes.PROFILE.value:
        names = list(context.profiles.names())
    elif namespace.what == Takes.INTERFACE.value:
        names = sorted(each.name for each in _INTERFACES.iterdir() if each.name != "lo")
    else:
        names = []
    context.show(*(name for name in names if _PLAIN.fullmatch(name)))
    return ExitCode.OK


def _walk(places: Sequence[Place]) -> Iterator[str]:
    """Give the lines by which bash and zsh note the command that a word completes."""
    for place in places:
        if place.path:
            yield f"            {_quoted(_prefix(place))}) place={_quoted(_prefix(place))} ;;"
    yield from ("        esac", "    done")


def _behind_options(place: Place, offer: _Offer) -> Iterator[str]:
    """Give the lines by which bash and zsh offer the values of options.

    Args:
        place: where the options stand.
        offer: says in the shell's language what to offer.
    """
    for word in place.words:
        if word.takes_value:
            typed = _quoted(f"{_prefix(place)}:{word.text}")
            yield f"        {typed}) {offer(word.values, word.kind)} return ;;"


def _prefix(place: Place) -> str:
    return f" {place.path}" if place.path else ""


def _bash(places: Sequence[Place]) -> list[str]:
    lines = [
        f"# bash completion of {PROGRAM}; made by: {PROGRAM} completions bash",
        f"_{PROGRAM}() {{",
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}",
        "    local place= word index",
        "    COMPREPLY=()",
        "    for ((index = 1; index < COMP_CWORD; index++)); do",
        "        word=${COMP_WORDS[index]}",
        '        case "$place $word" in',
        *_walk(places),
        '    case "$place:$prev" in',
    ]
    for place in places:
        lines += _behind_options(place, _bash_values)
    lines += ["    esac", '    case "$place" in']
    for place in places:
        words = _quoted(" ".join(word.text for word in place.words))
        extra = _bash_values(place.values, place.kind)
        here = f"        {_quoted(_prefix(place))})"
        lines.append(f'{here} {extra} COMPREPLY+=($(compgen -W {words} -- "$cur")) ;;')
    return [*lines, "    esac", "}", f"complete -F _{PROGRAM} {PROGRAM}"]


def _bash_values(values: Sequence[str], kind: Takes) -> str:
    if values:
        return f'COMPREPLY+=($(compgen -W {_quoted(" ".join(values))} -- "$cur"));'
    match kind:
        case Takes.FILE:
            return 'compopt -o filenames; COMPREPLY+=($(compgen -f -- "$cur"));'
        case Takes.PROFILE | Takes.INTERFACE:
            asked = f"$({PROGRAM} complete {kind.value} 2>/dev/null)"
            return f'COMPREPLY+=($(compgen -W "{asked}" -- "$cur"));'
        case Takes.ANYTHING:
            return ":;"


def _zsh(places: Sequence[Place]) -> list[str]:
    lines = [
        f"#compdef {PROGRAM}",
        f"# zsh completion of {PROGRAM}; made by: {PROGRAM} completions zsh",
        f"_{PROGRAM}() {{",
        "    local place= word index",
        "    local -a found",
        "    for ((index = 2; index < CURRENT; index++)); do",
        "        word=${words[index]}",
        '        case "$place $word" in',
        *_walk(places),
        '    case "$place:${words[CURRENT-1]}" in',
    ]
    for place in places:
        lines += _behind_options(place, _zsh_values)
    lines += ["    esac", '    case "$place" in']
    for place in places:
        described = " ".join(
            _quoted(f"{word.text}:{_one_line(word.summary)}") for word in place.words
        )
        lines += [
            f"        {_quoted(_prefix(place))})",
            f"            {_zsh_values(place.values, place.kind)}",
            f"            found=({described})",
            "            _describe -o command found ;;",
        ]
    return [*lines, "    esac", "}", f'_{PROGRAM} "$@"']


def _zsh_values(values: Sequence[str], kind: Takes) -> str:
    if values:
        return f"compadd -- {' '.join(map(_quoted, values))};"
    match kind:
        case Takes.FILE:
            return "_files;"
        case Takes.PROFILE | Takes.INTERFACE:
            return f'compadd -- ${{(f)"$({PROGRAM} complete {kind.value} 2>/dev/null)"}};'
        case Takes.ANYTHING:
            return ":;"


def _fish(places: Sequence[Place]) -> list[str]:
    lines = [
        f"# fish completion of {PROGRAM}; made by: {PROGRAM} completions fish",
        f"function __{PROGRAM}_at",
        "    set -l typed (commandline -opc)[2..-1]",
        "    set -l path",
        "    for word in $typed",
        '        switch (string join " " -- $path $word)',
        "            case " + " ".join(_fish_quoted(place.path) for place in places if place.path),
        "                set -a path $word",
        "        end",
        "    end",
        '    test "$path" = "$argv[1]"',
        "end",
        f"complete -c {PROGRAM} -f",
    ]
    for place in places:
        here = f"complete -c {PROGRAM} -n {_fish_quoted(f'__{PROGRAM}_at ' + _inner(place.path))}"
        for word in place.words:
            text = _fish_quoted(_one_line(word.summary))
            if not word.text.startswith("--"):
                lines.append(f"{here} -a {word.text} -d {text}")
                continue
            option = f"{here} -l {word.text[2:]} -d {text}"
            if word.takes_value:
                option += f" -r{_fish_values(word.values, word.kind)}"
            lines.append(option)
        extra = _fish_values(place.values, place.kind)
        if extra:
            lines.append(f"{here}{extra}")
    return lines


def _fish_values(values: Sequence[str], kind: Takes) -> str:
    if values:
        return f" -a {_fish_quoted(' '.join(values))}"
    match kind:
        case Takes.FILE:
            return " -F"
        case Takes.PROFILE | Takes.INTERFACE:
            return f" -a {_fish_quoted(f'({PROGRAM} complete {kind.value} 2>/dev/null)')}"
        case Takes.ANYTHING:
            return ""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _inner(path: str) -> str:
    return f'"{path}"'


def _one_line(text: str) -> str:
    return text.partition(";")[0].replace(":", " ")


_WRITERS: Mapping[str, Callable[[Sequence[Place]], list[str]]] = MappingProxyType(
    {"bash": _bash, "zsh": _zsh, "fish": _fish}
)
