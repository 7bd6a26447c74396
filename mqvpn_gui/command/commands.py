"""All commands with their options and examples: what ``--help`` teaches and completion offers."""

from mqvpn_gui.command import looking_commands as looking
from mqvpn_gui.command import policy_commands as policies
from mqvpn_gui.command import tunnel_commands as tunnels
from mqvpn_gui.command.common_options import (
    KILL_SWITCH_MODES,
    add_force,
    add_interface,
    add_json,
)
from mqvpn_gui.command.completions import SHELLS, complete_names, print_completions
from mqvpn_gui.command.keys import add_key_options
from mqvpn_gui.command.parsing import Command, Parser, Takes
from mqvpn_gui.command.profile_tree import PROFILE_COMMANDS
from mqvpn_helper.interface.tunnel_settings import PathRole

_ROLES = tuple(role.value for role in PathRole)


def _watch(parser: Parser) -> None:
    action = parser.add_argument(
        "--watch",
        nargs="?",
        const="1",
        metavar="SECONDS",
        help="again and again, every second or as given, until Ctrl-C; JSON: a line each time",
    )
    parser.know(action)
    add_json(parser)


def _up(parser: Parser) -> None:
    action = parser.add_argument(
        "profile",
        nargs="?",
        metavar="PROFILE",
        help="the server; without it the only one there is, or the one that was used last",
    )
    parser.know(action, Takes.PROFILE)
    add_key_options(parser)
    parser.know(
        parser.add_argument("--no-key", action="store_true", help="the server wants no key")
    )
    parser.know(
        parser.add_argument(
            "--no-wait", action="store_true", help="return at once instead of when it is up"
        )
    )
    parser.know(
        parser.add_argument(
            "--timeout", default="60", metavar="SECONDS", help="how long to wait (default: 60)"
        )
    )
    add_json(parser)


def _events(parser: Parser) -> None:
    parser.know(
        parser.add_argument(
            "--follow", "-f", action="store_true", help="go on with new ones, until Ctrl-C"
        )
    )
    parser.know(
        parser.add_argument(
            "--since",
            default="0",
            metavar="NUMBER",
            help="only those after this number, as --json shows it (default: all that are kept)",
        )
    )
    add_json(parser)


def _path_set(parser: Parser) -> None:
    add_interface(parser)
    parser.know(parser.add_argument("--role", choices=_ROLES, help="what it is used for"))
    parser.know(
        parser.add_argument(
            "--cap", metavar="AMOUNT", help="what it may carry in a month, such as '5 GB', or none"
        )
    )
    parser.know(
        parser.add_argument(
            "--rate-limit", metavar="RATE", help="how fast it may be, '10 Mbit/s', or none"
        )
    )
    add_json(parser)


def _kill_switch(parser: Parser) -> None:
    parser.know(
        parser.add_argument(
            "mode",
            nargs="?",
            choices=KILL_SWITCH_MODES,
            help="the new mode; without it the mode is shown",
        )
    )
    add_json(parser)


def _portal(parser: Parser) -> None:
    add_interface(parser)
    parser.know(
        parser.add_argument(
            "--minutes", default="5", metavar="N", help="how long, 1 to 15 (default: 5)"
        )
    )
    parser.know(parser.add_argument("--end", action="store_true", help="end it early"))
    add_json(parser)


def _dns(parser: Parser) -> None:
    parser.know(
        parser.add_argument(
            "servers", nargs="+", metavar="ADDRESS", help="name servers in the tunnel, or none"
        )
    )
    add_json(parser)


def _split(parser: Parser) -> None:
    for option, text in (
        ("--exclude", "leave this network beside the tunnel; may be repeated"),
        ("--include", "send only this network into the tunnel; may be repeated"),
        ("--cgroup", "leave programs of this control group beside it; may be repeated"),
    ):
        metavar = "CGROUP" if "cgroup" in option else "CIDR"
        parser.know(parser.add_argument(option, action="append", metavar=metavar, help=text))
    parser.know(
        parser.add_argument(
            "--allow-lan", action="store_true", help="networks at hand stay reachable"
        )
    )
    add_json(parser)


def _diagnose(parser: Parser) -> None:
    parser.know(
        parser.add_argument("--output", metavar="FILE", help="write it to a new file"), Takes.FILE
    )
    add_force(parser, "overwrite the file")
    add_json(parser)


def _recover(parser: Parser) -> None:
    parser.know(parser.add_argument("--yes", "-y", action="store_true", help="do not ask"))
    add_json(parser)


def _down(parser: Parser) -> None:
    add_json(parser)


def _completions(parser: Parser) -> None:
    parser.know(parser.add_argument("shell", choices=SHELLS, help="which shell"))


COMMANDS: tuple[Command, ...] = (
    Command(
        name="up",
        summary="open the tunnel and wait until it works",
        build=_up,
        run=tunnels.up,
        examples="""\
  mqvpn up
  mqvpn up office
  mqvpn up office --key-stdin < auth.key        where there is no keyring
  mqvpn up office --no-wait""",
    ),
    Command(
        name="down",
        summary="close the tunnel",
        build=_down,
        run=tunnels.down,
        examples="  mqvpn down",
    ),
    Command(
        name="status",
        summary="show the tunnel and its paths",
        build=_watch,
        run=looking.status,
        examples="""\
  mqvpn status
  mqvpn status --watch
  mqvpn status --json | jq -r .state""",
    ),
    Command(
        name="paths",
        summary="show the paths alone",
        build=_watch,
        run=looking.paths,
        examples="  mqvpn paths --watch 0.5\n  mqvpn paths --json | jq '.[] | .interface, .rtt_ms'",
    ),
    Command(
        name="path",
        summary="change what an interface is used for",
        children=(
            Command(
                name="set",
                summary="change role, cap or rate of an interface until the tunnel ends",
                build=_path_set,
                run=policies.set_path,
                examples="""\
  mqvpn path set wlan0 --role backup
  mqvpn path set wwan0 --cap '5 GB' --rate-limit '10 Mbit/s'
  mqvpn path set wwan0 --role default --cap none""",
            ),
        ),
    ),
    Command(
        name="killswitch",
        summary="show or change what happens to traffic outside the tunnel",
        build=_kill_switch,
        run=policies.kill_switch,
        examples="""\
  mqvpn killswitch
  mqvpn killswitch standard     blocks while you want the tunnel, through every interruption
  mqvpn killswitch always       blocks from boot to shutdown
  mqvpn killswitch off""",
    ),
    Command(
        name="portal",
        summary="let one interface past the kill switch for minutes, to log in to its network",
        build=_portal,
        run=policies.portal,
        examples="  mqvpn portal wlan0 --minutes 10\n  mqvpn portal wlan0 --end",
    ),
    Command(
        name="dns",
        summary="change the name servers of the running tunnel",
        build=_dns,
        run=policies.set_dns,
        examples="  mqvpn dns 10.0.0.1\n  mqvpn dns none",
    ),
    Command(
        name="split",
        summary="change what goes beside the running tunnel; what is not named is as usual",
        build=_split,
        run=policies.set_split,
        examples="""\
  mqvpn split --exclude 192.0.2.0/24 --allow-lan
  mqvpn split                                   everything into the tunnel again""",
    ),
    Command(
        name="profile",
        summary="add, show, change, share and remove servers",
        children=PROFILE_COMMANDS,
    ),
    Command(
        name="events",
        summary="show what has happened, such as failovers and their gaps",
        build=_events,
        run=looking.events,
        examples="""\
  mqvpn events
  mqvpn events --follow
  mqvpn events --follow --json | jq 'select(.kind == "failover").detail.gap_ms'""",
    ),
    Command(
        name="diagnose",
        summary="print a report for whoever helps you, without secrets and addresses",
        build=_diagnose,
        run=looking.diagnose,
        examples="  mqvpn diagnose\n  mqvpn diagnose --output report.json",
    ),
    Command(
        name="recover",
        summary="end everything and give the network back as it was",
        build=_recover,
        run=tunnels.recover,
        examples="  mqvpn recover\n  mqvpn recover --yes",
    ),
    Command(
        name="completions",
        summary="print what makes a shell complete these commands",
        build=_completions,
        run=lambda namespace, context: print_completions(COMMANDS, namespace.shell, context),
        examples="""\
  mqvpn completions bash > ~/.local/share/bash-completion/completions/mqvpn
  mqvpn completions zsh > ~/.zfunc/_mqvpn       a directory of your fpath
  mqvpn completions fish > ~/.config/fish/completions/mqvpn.fish""",
    ),
)
"""The commands in the order of the overview."""

HIDDEN = (
    Command(
        name="complete",
        summary="print the words that completion offers for a value",
        build=lambda parser: parser.know(
            parser.add_argument("what", choices=tuple(kind.value for kind in Takes if kind.value))
        ),
        run=complete_names,
        examples="  mqvpn complete profiles",
    ),
)
"""Commands that only other programs call."""
