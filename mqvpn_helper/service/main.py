"""The program ``mqvpn-helper``: started as root by D-Bus or systemd, never by hand in daily use."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from mqvpn_helper.host.operations import DEFAULT_STATE_DIRECTORY
from mqvpn_helper.interface.service_notices import (
    ServiceOrders,
    kept_descriptors,
    service_orders,
)
from mqvpn_helper.service.bus_link import BusLostError
from mqvpn_helper.service.capabilities import keep_only_needed
from mqvpn_helper.service.helper import AlreadyRunningError, HelperParts, serve
from mqvpn_helper.service.log_lines import set_up_logging
from mqvpn_helper.service.machine_care import LocalMachineCare
from mqvpn_helper.service.signs_of_life import show_signs_of_life
from mqvpn_helper.session.core_launch import CORE_USER, ProcessLauncher, system_identity
from mqvpn_helper.session.events import SessionEvent
from mqvpn_helper.session.secret_shelf import (
    SECRET_NAME,
    FileShelf,
    ManagerShelf,
    SecretShelf,
)
from mqvpn_helper.session.threaded_host import ThreadedHost
from mqvpn_helper.session.tunnel_memory import WantedTunnel, memory_of
from mqvpn_helper.session.tunnel_session import TunnelSession

IDLE_SECONDS = 60.0
"""How long the helper stays when nobody needs it."""
EXIT_FAILED = 1
"""Exit code when there is no bus, or another helper has it."""
EXIT_USAGE = 2
"""Exit code when it is started in a way that cannot work."""
_PRIVATE_FILES = 0o077


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the helper; return its exit code.

    Args:
        arguments: those of the command line by default.
    """
    options = _parser().parse_args(arguments)
    set_up_logging(sys.stderr, os.environ, is_verbose=options.verbose)
    if os.geteuid() != 0:
        sys.stderr.write("mqvpn-helper: root starts this program, by way of D-Bus\n")
        return EXIT_USAGE
    os.umask(_PRIVATE_FILES)
    keep_only_needed()
    state_directory: Path = options.state_directory
    core_user: str = options.core_user
    idle_seconds: float = options.idle_seconds

    orders = service_orders(os.environ, os.getpid())
    shelf = _shelf(orders)

    def make_session(wanted: WantedTunnel, emit: Callable[[SessionEvent], None]) -> TunnelSession:
        launcher = ProcessLauncher(system_identity(core_user))
        host = ThreadedHost(state_directory)
        memory = memory_of(wanted, state_directory, shelf)
        return TunnelSession(wanted.wish, wanted.secret, host, launcher, memory, emit)

    def make_parts() -> HelperParts:
        return HelperParts(
            make_session=make_session,
            machine=LocalMachineCare(shelf, state_directory),
            idle_seconds=idle_seconds,
        )

    try:
        trio.run(_serve, make_parts, orders)
    except (BusLostError, AlreadyRunningError) as error:
        sys.stderr.write(f"mqvpn-helper: {error}\n")
        return EXIT_FAILED
    return 0


def _shelf(orders: ServiceOrders) -> SecretShelf:
    """Return where secrets wait for the next helper: with systemd, if that has started us."""
    if not orders.address:
        return FileShelf()
    kept = kept_descriptors(os.environ, os.getpid())
    return ManagerShelf(orders.address, kept.get(SECRET_NAME))


async def _serve(make_parts: Callable[[], HelperParts], orders: ServiceOrders) -> None:
    trio.lowlevel.spawn_system_task(show_signs_of_life, orders)
    await serve("SYSTEM", make_parts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mqvpn-helper",
        description="Privileged side of mqvpn on the system bus. D-Bus starts it when needed.",
    )
    parser.add_argument(
        "--idle-seconds",
        type=float,
        default=IDLE_SECONDS,
        metavar="N",
        help="end after so long without tunnel, listeners and calls (default: %(default)s)",
    )
    parser.add_argument(
        "--state-directory",
        type=Path,
        default=DEFAULT_STATE_DIRECTORY,
        metavar="DIR",
        help="where the journal of changes is (default: %(default)s)",
    )
    parser.add_argument(
        "--core-user",
        default=CORE_USER,
        metavar="NAME",
        help="system user that the network process runs as (default: %(default)s)",
    )
    parser.add_argument("--verbose", action="store_true", help="log every state change")
    return parser


if __name__ == "__main__":
    sys.exit(main())
