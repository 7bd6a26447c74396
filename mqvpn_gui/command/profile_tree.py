"""The commands below ``mqvpn profile`` with their options and examples."""

from mqvpn_gui.command import profile_commands as profiles
from mqvpn_gui.command.common_options import (
    KILL_SWITCH_MODES,
    add_force,
    add_json,
    add_profile,
)
from mqvpn_gui.command.keys import add_key_options
from mqvpn_gui.command.parsing import Command, Parser, Takes


def _profile_add(parser: Parser) -> None:
    parser.know(parser.add_argument("name", metavar="NAME", help="what to call it"))
    for option, metavar, text in (
        ("--server-name", "NAME", "name in the server's certificate, where it is another"),
        ("--user", "NAME", "whom the server invited"),
    ):
        parser.know(parser.add_argument(option, default="", metavar=metavar, help=text))
    parser.know(
        parser.add_argument("--server", required=True, metavar="HOST[:PORT]", help="the server")
    )
    parser.know(
        parser.add_argument(
            "--pin",
            action="append",
            metavar="PIN",
            help="trust the server's key with this pin, sha256/...; may be repeated",
        )
    )
    parser.know(
        parser.add_argument(
            "--kill-switch", choices=KILL_SWITCH_MODES, default="", help="when to block"
        )
    )
    add_key_options(parser)
    parser.know(parser.add_argument("--no-key", action="store_true", help="do not ask for a key"))
    add_force(parser, "replace a profile of this name")
    add_json(parser)


def _profile_import(parser: Parser) -> None:
    action = parser.add_argument(
        "source",
        nargs="?",
        metavar="FILE",
        help="a file of mqvpn-core (TOML) or the C program (INI, JSON), a file with a link, or -"
        " for the standard input; without it the link is asked for",
    )
    parser.know(action, Takes.FILE)
    parser.know(
        parser.add_argument("--name", metavar="NAME", help="what to call it; made up otherwise")
    )
    add_key_options(parser)
    add_force(parser, "replace a profile of this name")
    add_json(parser)


def _profile_and_json(parser: Parser) -> None:
    add_profile(parser)
    add_json(parser)


def _profile_set_key(parser: Parser) -> None:
    add_profile(parser)
    add_key_options(parser)
    parser.know(parser.add_argument("--forget", action="store_true", help="remove the key"))
    add_json(parser)


def _profile_remove(parser: Parser) -> None:
    add_profile(parser)
    add_force(parser, "do not ask, also when the profile cannot be read")
    add_json(parser)


def _profile_share(parser: Parser) -> None:
    add_profile(parser)
    parser.know(parser.add_argument("--without-key", action="store_true", help="leave the key out"))
    parser.know(parser.add_argument("--no-qr", action="store_true", help="print the link alone"))
    add_key_options(parser)
    add_json(parser)


PROFILE_COMMANDS: tuple[Command, ...] = (
    Command(
        name="import",
        summary="add a server from a link or a file",
        build=_profile_import,
        run=profiles.import_profile,
        examples="""\
  mqvpn profile import                          asks for the link and does not show it
  mqvpn profile import client.toml --name office
  mqvpn profile import - < link.txt""",
    ),
    Command(
        name="add",
        summary="add a server by its name",
        build=_profile_add,
        run=profiles.add,
        examples="""\
  mqvpn profile add office --server vpn.example.org --pin sha256/...
  mqvpn profile add office --server vpn.example.org:8443 --key-stdin < auth.key""",
    ),
    Command(
        name="list",
        summary="show all servers",
        build=add_json,
        run=profiles.list_profiles,
        examples="  mqvpn profile list\n  mqvpn profile list --json | jq -r '.[].name'",
    ),
    Command(
        name="show",
        summary="show one with all its settings",
        build=_profile_and_json,
        run=profiles.show,
        examples="  mqvpn profile show office",
    ),
    Command(
        name="edit",
        summary="change one in your editor; what would not work is refused",
        build=_profile_and_json,
        run=profiles.edit,
        examples="  mqvpn profile edit office\n  EDITOR=nano mqvpn profile edit office",
    ),
    Command(
        name="set-key",
        summary="put the key of one into the keyring, or remove it",
        build=_profile_set_key,
        run=profiles.set_key,
        examples="""\
  mqvpn profile set-key office                  asks for it
  mqvpn profile set-key office --key-stdin < auth.key
  mqvpn profile set-key office --forget""",
    ),
    Command(
        name="share",
        summary="print a link and a QR code for another device of yours",
        build=_profile_share,
        run=profiles.share,
        examples="  mqvpn profile share office\n  mqvpn profile share office --without-key --no-qr",
    ),
    Command(
        name="rm",
        summary="remove one and its key",
        build=_profile_remove,
        run=profiles.remove,
        examples="  mqvpn profile rm office",
    ),
)
"""In the order of the help."""
