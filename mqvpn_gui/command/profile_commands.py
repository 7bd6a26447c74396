"""``mqvpn profile``: servers come, are looked at, changed, handed on, and go."""

import argparse
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from mqvpn_gui.command.context import Context
from mqvpn_gui.command.exit_codes import ExitCode
from mqvpn_gui.command.keys import ask_for_key, code_without_key, given_key, keep_key, key_of
from mqvpn_gui.command.own_arguments import hide_argument
from mqvpn_gui.command.parsing import UsageError
from mqvpn_gui.command.tables import Column, table_lines
from mqvpn_gui.model.plain_text import plain
from mqvpn_gui.user.client_files import MAX_FILE_BYTES, read_client_file
from mqvpn_gui.user.errors import KeyringAbsentError, ProfileError, SecretError, UserError
from mqvpn_gui.user.private_files import read_text_file
from mqvpn_gui.user.profile_links import is_link, link_from_profile, profile_from_link
from mqvpn_gui.user.profile_store import check_name, name_from
from mqvpn_gui.user.profile_text import (
    MAX_PROFILE_BYTES,
    StoredProfile,
    profile_from_members,
    read_profile,
    write_profile,
)
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_helper.interface.invite_link import MAX_LINK_LENGTH

_EDITORS = ("VISUAL", "EDITOR")
_USUAL_EDITOR = "vi"


def add(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn profile add``."""
    members: dict[str, object] = {"server": namespace.server, "pins": namespace.pin or []}
    for name in ("server_name", "user", "kill_switch"):
        value = getattr(namespace, name)
        if value:
            members[name] = value
    stored = profile_from_members(members)
    check_name(namespace.name)
    key = given_key(context, namespace, namespace.name)
    if key is None and context.is_interactive and not namespace.no_key:
        key = ask_for_key(context, namespace.name)
    return _keep(context, namespace.name, stored, key, namespace)


def import_profile(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn profile import``."""
    source: str | None = namespace.source
    if source is not None and is_link(source):
        text, directory = source, None
        if "#" in source:
            hide_argument(source)
            context.note(
                "warning: the link stood on the command line: other users may have seen it, and it"
                " stays in the shell's history; 'mqvpn profile import' alone asks for it"
            )
    elif source is None or source == "-":
        text, directory = _ask_for_link(context), None
    else:
        path = Path(source)
        directory = path.parent
        try:
            text = read_text_file(path, MAX_FILE_BYTES)
        except FileNotFoundError:
            raise ProfileError(
                f"{source}: there is no such file", "give a file, or a link that begins mqvpn://"
            ) from None
    if is_link(text):
        stored, key = profile_from_link(text)
    else:
        found = read_client_file(text, source or "", lambda name: _read_beside(directory, name))
        stored, key = found.stored, found.secret
        context.note(*(f"note: {each}" for each in found.notes))
        if key is not None and directory is not None:
            context.note(f"note: {source} still holds the key: delete it, or keep it to yourself")
    key = key or given_key(context, namespace, stored.title)
    if namespace.name is not None:
        name = check_name(namespace.name)
    else:
        title = stored.settings.name
        name = context.profiles.free_name(title if name_from(title) else stored.settings.host)
    return _keep(context, name, stored, key, namespace)


def _ask_for_link(context: Context) -> str:
    """Read a link, or a whole file, from the standard input."""
    if context.is_interactive:
        return context.ask_hidden("Paste the link (it is not shown): ")
    text = context.input.read(MAX_FILE_BYTES + 1)
    if len(text) > MAX_FILE_BYTES:
        raise ProfileError(f"more than {MAX_FILE_BYTES} characters came")
    if is_link(text) and len(text) > 2 * MAX_LINK_LENGTH:
        raise ProfileError(f"a link has at most {MAX_LINK_LENGTH} characters")
    return text


def _read_beside(directory: Path | None, name: str) -> str:
    """Return the content of a file that another one names, relative to that one."""
    if directory is None:
        raise ProfileError(
            "the text names a file of certificates", "import the file itself, which lies beside it"
        )
    try:
        return read_text_file(directory / Path(name).expanduser(), MAX_FILE_BYTES)
    except (FileNotFoundError, RuntimeError, ValueError):
        raise ProfileError("ca_file names a file that is not there") from None


def _keep(
    context: Context,
    name: str,
    stored: StoredProfile,
    key: SecretText | None,
    namespace: argparse.Namespace,
) -> int:
    """Write profile and key, and say what is there now."""
    context.profiles.write(name, stored, overwrite=namespace.force)
    failure = None if key is None else keep_key(context, name, key)
    is_kept = key is not None and failure is None
    if namespace.json:
        context.show_json({"name": name, "server": stored.settings.server, "key_kept": is_kept})
    else:
        context.show(f"profile {name}: {stored.settings.server}" + _trust_of(stored))
        if key is None:
            context.show(f"no key is kept; 'mqvpn profile set-key {name}' keeps one")
        context.show(f"connect with: mqvpn up {name}")
    return code_without_key(failure)


def _trust_of(stored: StoredProfile) -> str:
    settings = stored.settings
    if settings.insecure:
        return ", certificate NOT checked"
    return ", pinned" if settings.pins else ""


def list_profiles(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn profile list``."""
    rows: list[tuple[str, ...]] = []
    values: list[dict[str, object]] = []
    for name in context.profiles.names():
        try:
            stored = context.profiles.read(name)
        except UserError as error:
            context.note(f"warning: {error}")
            continue
        settings = stored.settings
        values.append(
            {
                "name": name,
                "title": settings.name,
                "server": settings.server,
                "user": stored.user,
                "pinned": bool(settings.pins),
            }
        )
        rows.append(
            (name, settings.server, stored.user, plain(settings.name), _trust_of(stored)[2:])
        )
    if namespace.json:
        context.show_json(values)
    elif not rows:
        context.note("no profiles yet; 'mqvpn profile import' adds one from a link or a file")
    else:
        columns = [
            Column(heading="profile"),
            Column(heading="server"),
            Column(heading="user", rank=2),
            Column(heading="title", rank=3),
            Column(heading="trust", rank=1),
        ]
        context.show(*table_lines(columns, rows, context.width))
    return ExitCode.OK


def show(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn profile show``."""
    stored = context.profiles.read(namespace.name)
    if namespace.json:
        context.show_json({**stored.settings.to_mapping(), "user": stored.user})
    else:
        context.show(*write_profile(stored).splitlines())
    return ExitCode.OK


def edit(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn profile edit``: nothing is kept that would not load."""
    before = context.profiles.read(namespace.name)
    editor = next(filter(None, map(os.environ.get, _EDITORS)), _USUAL_EDITOR)
    with tempfile.TemporaryDirectory(prefix="mqvpn-") as directory:
        copy = Path(directory, f"{namespace.name}.toml")
        copy.write_text(write_profile(before), encoding="utf-8")
        after = _edited(context, editor, copy)
    text = "nothing was changed"
    if after != before:
        context.profiles.write(namespace.name, after, overwrite=True)
        text = f"profile {namespace.name} is changed; it counts from the next mqvpn up"
    value = {"name": namespace.name, "changed": after != before}
    context.tell(text, value, as_json=namespace.json)
    return ExitCode.OK


def _edited(context: Context, editor: str, copy: Path) -> StoredProfile:
    """Let the user edit until the profile can be read, or until they give up."""
    while True:
        _run_editor(editor, copy)
        try:
            return read_profile(read_text_file(copy, MAX_PROFILE_BYTES))
        except ProfileError as error:
            context.note(f"error: {error}")
            if not context.confirm("Edit it again?"):
                raise ProfileError("the profile was left as it was") from None


def _run_editor(editor: str, file: Path) -> None:
    try:
        command = [*shlex.split(editor), str(file)]
        subprocess.run(command, check=True)  # noqa: S603 - the user's own choice
    except (OSError, ValueError):
        raise UserError(f"cannot start the editor {editor!r}", "set EDITOR to another") from None
    except subprocess.CalledProcessError:
        raise UserError("the editor reported a failure; the profile was left as it was") from None


def set_key(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn profile set-key``."""
    context.profiles.read(namespace.name)
    if namespace.forget:
        context.secrets().forget(namespace.name)
        text = f"the key of {namespace.name} is forgotten"
    else:
        key = given_key(context, namespace, namespace.name) or ask_for_key(context, namespace.name)
        context.secrets().write(namespace.name, key)
        text = f"the key of {namespace.name} is in the keyring"
    value = {"name": namespace.name, "key_kept": not namespace.forget}
    context.tell(text, value, as_json=namespace.json)
    return ExitCode.OK


def remove(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn profile rm``."""
    name = namespace.name
    context.profiles.read(name) if not namespace.force else context.profiles.path_of(name)
    if not namespace.force and context.is_interactive and not context.confirm(f"Remove {name}?"):
        raise UsageError(f"the profile {name} was left as it was")
    context.profiles.remove(name)
    context.tell(
        f"profile {name} is removed", {"name": name, "removed": True}, as_json=namespace.json
    )
    try:
        context.secrets().forget(name)
    except KeyringAbsentError as error:
        context.note(f"note: no key was looked for: {error.problem}")
    except SecretError as error:
        context.note(f"warning: its key may still be in the keyring: {error.problem}")
        return ExitCode.SECRET
    return ExitCode.OK


def _can_draw(context: Context) -> bool:
    try:
        "\u2588\u2580\u2584".encode(getattr(context.out, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def share(namespace: argparse.Namespace, context: Context) -> int:
    """``mqvpn profile share``."""
    stored = context.profiles.read(namespace.name)
    key = None if namespace.without_key else key_of(context, namespace, namespace.name)
    link = link_from_profile(stored, key)
    if namespace.json:
        context.show_json({"name": namespace.name, "link": link, "has_key": key is not None})
        return ExitCode.OK
    if not namespace.no_qr and not _can_draw(context):
        context.note("note: this terminal cannot show a QR code; its character set has no blocks")
    elif not namespace.no_qr:
        from mqvpn_gui.user.qr_codes import qr_lines  # noqa: PLC0415 - loads segno

        lines = qr_lines(link)
        if context.out.isatty():  # the same polarity whatever the terminal's colours
            lines = [f"\x1b[97;40m{line}\x1b[0m" for line in lines]
        context.show(*lines)
    context.show(link)
    if key is not None:
        context.note("whoever has this link can connect as you: show it to nobody else")
    return ExitCode.OK
