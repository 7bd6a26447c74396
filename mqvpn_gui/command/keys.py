"""Where the key of a profile comes from: the keyring, a question, or the standard input."""

import argparse

from mqvpn_gui.command.context import Context
from mqvpn_gui.command.exit_codes import ExitCode
from mqvpn_gui.command.parsing import Parser
from mqvpn_gui.user.errors import KeyringAbsentError, KeyringLockedError, SecretError
from mqvpn_gui.user.secret_text import MAX_KEY_LENGTH, SecretText


def add_key_options(parser: Parser) -> None:
    """Give a command the ways to name a key; none of them is an argument that holds it."""
    group = parser.add_mutually_exclusive_group()
    parser.know(
        group.add_argument("--ask", action="store_true", help="ask for the key; nothing is kept")
    )
    parser.know(
        group.add_argument(
            "--key-stdin",
            action="store_true",
            help="read the key from the standard input, one line; nothing is kept",
        )
    )


def given_key(context: Context, namespace: argparse.Namespace, name: str) -> SecretText | None:
    """Return the key that the options of `add_key_options` lead to; None: neither was given.

    Raises:
        SecretError: nothing came, or no key.
    """
    if namespace.key_stdin:
        return SecretText(context.read_line(2 * MAX_KEY_LENGTH))
    if namespace.ask:
        return ask_for_key(context, name)
    return None


def ask_for_key(context: Context, name: str) -> SecretText:
    """Ask for the key of a profile on the terminal.

    Raises:
        SecretError: there is no terminal, or no answer.
    """
    if not context.is_interactive:
        raise SecretError(f"there is no terminal to ask for the key of {name}", "use --key-stdin")
    answer = context.ask_hidden(f"Key of {name} (it is not shown): ").strip()
    if not answer:
        raise SecretError("no key was given", "the server's operator has it")
    return SecretText(answer)


def key_of(context: Context, namespace: argparse.Namespace, name: str) -> SecretText:
    """Return the key of a profile from wherever it can be had.

    Raises:
        SecretError: it cannot be had.
    """
    key = given_key(context, namespace, name)
    if key is not None:
        return key
    try:
        key = context.secrets().read(name)
    except (KeyringAbsentError, KeyringLockedError) as error:
        if not context.is_interactive:
            raise
        context.note(f"note: {error.problem}")
        return ask_for_key(context, name)
    if key is not None:
        return key
    if context.is_interactive:
        context.note(f"note: the keyring has no key of {name}; 'mqvpn profile set-key' keeps one")
        return ask_for_key(context, name)
    raise SecretError(
        f"the keyring has no key of {name}",
        f"'mqvpn profile set-key {name}' keeps one, --key-stdin reads it each time",
    )


def keep_key(context: Context, name: str, key: SecretText) -> SecretError | None:
    """Put a key into the keyring; when that fails, say so and that the rest is done."""
    try:
        context.secrets().write(name, key)
    except SecretError as error:
        context.note(
            f"warning: the key was not kept: {error.problem}",
            f"         'mqvpn up {name}' will ask for it each time; when there is a keyring,"
            f" 'mqvpn profile set-key {name}' keeps it",
        )
        return error
    return None


def code_without_key(failure: SecretError | None) -> ExitCode:
    """Return how a command ends that did all it could but for the key.

    That there is no keyring is no failure of the command: it has said so, and the rest is done.
    """
    is_failure = failure is not None and not isinstance(failure, KeyringAbsentError)
    return ExitCode.SECRET if is_failure else ExitCode.OK
