"""``mqvpn-install-helper``: the helper for a machine on which mqvpn came by pip or pipx.

What a package does, without a package: programs, units, bus configuration and policy, all root's.
It writes down what it has made, and ``--remove`` takes exactly that away again.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mqvpn_helper.installing.errors import InstallError
from mqvpn_helper.installing.machine import Machine
from mqvpn_helper.installing.services import Services

EXIT_REFUSED = 1
"""Exit code when something is in the way."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Install or remove; return the exit code.

    Args:
        arguments: those of the command line by default.
    """
    options = _parser().parse_args(arguments)
    root: Path = options.root
    is_here = root == Path("/")
    if is_here and os.geteuid() != 0:
        program = Path(sys.argv[0]).resolve()
        sys.stderr.write(f"mqvpn-install-helper: it changes the system: sudo {program}\n")
        return EXIT_REFUSED
    os.umask(0o022)
    machine, services = Machine(root), Services()
    try:
        if options.remove or options.purge:
            _remove(machine, services if is_here else None, purge=options.purge)
            sys.stdout.write("mqvpn's helper is removed\n")
        else:
            machine.install()
            if is_here:
                services.begin()
            sys.stdout.write("mqvpn's helper is installed; mqvpn-install-helper --remove ends it\n")
    except (InstallError, OSError) as error:
        sys.stderr.write(f"mqvpn-install-helper: {error}\n")
        return EXIT_REFUSED
    return 0


def _remove(machine: Machine, services: Services | None, *, purge: bool) -> None:
    machine.refuse_strangers()
    if services is not None:
        services.end()
    machine.remove()
    if services is not None:
        services.forget(purge=purge)
    if purge:
        machine.purge()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mqvpn-install-helper",
        description="Installs mqvpn's helper, server and client for the whole machine, from where"
        " pip or pipx has installed mqvpn. Only root can do that.",
        epilog="Example: sudo ~/.local/bin/mqvpn-install-helper",
    )
    parser.add_argument("--remove", action="store_true", help="take everything away again")
    parser.add_argument(
        "--purge",
        action="store_true",
        help="the same, and configuration, keys, users and leases as well",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("/"),
        metavar="DIR",
        help="install below this folder, for images; starts and stops nothing (default: /)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
