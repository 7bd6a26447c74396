"""What happens to a machine with a tunnel, at random from a seed: to its links, server and client.

The story knows when the user wants no tunnel; what leaves then is no leak.
"""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace

from benchmarks.leak_capture import Capture, Leak, packet_clock
from benchmarks.leak_clients import PATIENCE, LeakClient, Wish
from mqvpn_core.demo.programs import Credentials, Program, start_server
from mqvpn_core.demo.topology import LTE, WLAN, World

LINKS = (WLAN, LTE)
"""Physical links of the machine."""
_LONG_OUTAGES = 2
_SHORT_OUTAGE = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What shall happen."""

    transitions: int
    """How many events."""
    seed: int
    """Decides which."""
    has_kill_switch: bool = True
    """Without it there must be leaks."""
    longest_outage: float = 3.0
    """Seconds the server is away the first two times; all links as well."""


class Story:
    """The programs, and what happens to them. A: `leaks`.

    C: `begin`, `live`, `stop`, `close`.
    """

    def __init__(
        self,
        course: Course,
        world: World,
        credentials: Credentials,
        client: LeakClient,
    ) -> None:
        """Prepare.

        Args:
            course: what shall happen.
            world: the machines.
            credentials: of the server.
            client: the client.
        """
        self.happened: list[str] = []
        """The events, in order."""
        self.tunnels = 0
        """How often the tunnel was seen to be up after something had happened."""
        self._course = course
        self._world = world
        self._credentials = credentials
        self._client = client
        self._random = random.Random(course.seed)  # noqa: S311 - the same again from a seed
        self._server: Program | None = None
        self._wish = self._make_wish()
        self._lasts = False
        self._unwanted: list[tuple[float, float]] = []
        self._began: list[tuple[float, str]] = []
        self._outages = {"server": 0, "links": 0}
        self._events: dict[str, Callable[[], None]] = {
            "stopped and started": self._stop_and_start,
            "stopped": self._stop_for_a_while,
            "server away": self._server_away,
            "server restarted": self._server_restarted,
            "server killed": self._server_killed,
            "server without IPv6": self._server_without_ipv6,
            "link down": self._link_down,
            "all links down": self._all_links_down,
            "link flaps": self._link_flaps,
            "address gone": self._address_gone,
            "nothing": lambda: None,
        }
        for name, misfortune in client.misfortunes().items():
            self._events[name] = self._made_event(misfortune)

    def begin(self) -> None:
        """Bring the tunnel up for the first time."""
        self._server = start_server(self._world.server, self._credentials)
        # Programs ask for names from before the first wish on.
        self._unwanted.append((float("-inf"), packet_clock() + 0.1))
        self._start()
        if not self._client.wait_up(PATIENCE):
            raise TimeoutError("the tunnel does not come up at all")

    def live(self, tell: Callable[[str], None]) -> None:
        """Let everything happen that shall.

        Args:
            tell: is told each event.
        """
        for number in range(self._course.transitions):
            # Each kind once before any comes twice.
            kinds = list(self._events)
            name = kinds[number] if number < len(kinds) else self._random.choice(kinds)
            self.happened.append(name)
            self._began.append((packet_clock(), name))
            tell(f"{number + 1:4d} {name}")
            self._events[name]()
            if self._client.has_given_up():
                self._start_over()
            self._pause(0.05, 0.5)

    def stop(self) -> None:
        """End the tunnel as a user does; from now on everything may leave."""
        self._stop()
        with self._not_wanted():
            if self._lasts:
                self._client.recover()
            time.sleep(0.1)
        self._unwanted.append((packet_clock(), float("inf")))

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.stop(signal.SIGKILL)

    def leaks(self, capture: Capture) -> tuple[Leak, ...]:
        """Return what left while it must not.

        Args:
            capture: what was seen.
        """
        return tuple(
            replace(leak, during=self._what_was_at(leak.at))
            for leak in list(capture.leaks)
            if not any(begin <= leak.at <= end for begin, end in self._unwanted)
        )

    def _what_was_at(self, at: float) -> str:
        """Return the event at a time, and how far off any time without a wish for a tunnel is."""
        since = max((end for _, end in self._unwanted if end < at), default=at)
        until = min((begin for begin, _ in self._unwanted if begin > at), default=at)
        began, name = max(
            (each for each in self._began if each[0] <= at), default=(at, "the start")
        )
        wanted = f"tunnel wanted since {at - since:.3f} s, for {until - at:.3f} s"
        return f"{at - began:.3f} s into: {name}; {wanted}"

    def _make_wish(self) -> Wish:
        modes = ("standard", "standard", "always") if self._course.has_kill_switch else ("off",)
        return Wish(
            kill_switch=self._random.choice(modes),
            has_ipv6=self._random.random() < 0.5,  # noqa: PLR2004 - as often as not
            has_names=self._random.random() < 0.5,  # noqa: PLR2004 - as often as not
        )

    def _start(self) -> None:
        # What lasts stays in force until the next one is.
        with nullcontext() if self._lasts else self._not_wanted():
            self._wish = self._make_wish()
            self._client.start(self._wish)
        self._lasts = self._wish.kill_switch == "always"

    def _stop(self) -> None:
        with nullcontext() if self._lasts else self._not_wanted():
            self._client.stop()

    def _start_over(self) -> None:
        self._stop()
        self._start()
        self._wait_sometimes()

    @contextmanager
    def _not_wanted(self) -> Iterator[None]:
        began = packet_clock()
        yield
        # What was under way at the far end counts as sent before.
        self._unwanted.append((began, packet_clock() + 0.1))

    def _stop_and_start(self) -> None:
        self._stop()
        self._start()
        self._wait_sometimes()

    def _stop_for_a_while(self) -> None:
        self._stop()
        with nullcontext() if self._lasts else self._not_wanted():
            self._pause(0.1, 1.5)
        self._start()
        self._wait_sometimes()

    def _made_event(self, misfortune: Callable[[float], None]) -> Callable[[], None]:
        def happen() -> None:
            misfortune(self._random.uniform(0.1, 1.5))
            self._wait_sometimes()

        return happen

    def _server_away(self) -> None:
        self._stop_server(signal.SIGTERM)
        time.sleep(self._outage("server"))
        self._start_server()

    def _server_restarted(self) -> None:
        self._stop_server(signal.SIGUSR2)
        self._start_server()

    def _server_killed(self) -> None:
        self._stop_server(signal.SIGKILL)
        self._pause(0.1, 1.0)
        self._start_server()

    def _server_without_ipv6(self) -> None:
        self._stop_server(signal.SIGTERM)
        self._start_server(has_ipv6=False)
        self._pause(0.5, 1.5)

    def _link_down(self) -> None:
        link = self._random.choice(LINKS)
        self._world.router.set_link(link.router_interface, up=False)
        self._pause(0.1, 1.5)
        self._restore_link(link.router_interface)

    def _all_links_down(self) -> None:
        for link in LINKS:
            self._world.router.set_link(link.router_interface, up=False)
        time.sleep(self._outage("links"))
        for link in LINKS:
            self._restore_link(link.router_interface)
        self._wait_sometimes()

    def _link_flaps(self) -> None:
        link = self._random.choice(LINKS)
        for _ in range(5):
            self._world.router.set_link(link.router_interface, up=False)
            self._pause(0.0, 0.1)
            self._restore_link(link.router_interface)
            self._pause(0.0, 0.1)

    def _address_gone(self) -> None:
        link = self._random.choice(LINKS)
        address = f"{link.ipv4}.2/24"
        self._world.client.delete_address(link.interface, address)
        self._pause(0.1, 1.0)
        self._world.client.add_address(link.interface, address)
        # The kernel took the default route with the address.
        self._world.client.add_route("0.0.0.0/0", f"{link.ipv4}.1", metric=link.metric)

    def _outage(self, of_what: str) -> float:
        self._outages[of_what] += 1
        if self._outages[of_what] <= _LONG_OUTAGES:
            return self._course.longest_outage
        return self._random.uniform(0.5, min(_SHORT_OUTAGE, self._course.longest_outage))

    def _restore_link(self, router_interface: str) -> None:
        self._world.router.set_link(router_interface, up=True)
        link = next(each for each in LINKS if each.router_interface == router_interface)
        # Switching it off cost the router's end its IPv6 address, as a router's restart does.
        with suppress(Exception):
            self._world.router.add_address(router_interface, f"{link.ipv6}::1/64")

    def _start_server(self, *, has_ipv6: bool = True) -> None:
        self._server = start_server(self._world.server, self._credentials, has_ipv6=has_ipv6)
        self._wait_sometimes()

    def _stop_server(self, how: signal.Signals) -> None:
        if self._server is not None:
            self._server.stop(how)
            self._server = None

    def _wait_sometimes(self) -> None:
        """Go on at once, or when the tunnel is up: both happen to people."""
        if self._random.random() < 0.7:  # noqa: PLR2004 - mostly
            self.tunnels += self._client.wait_up(8.0)

    def _pause(self, shortest: float, longest: float) -> None:
        time.sleep(self._random.uniform(shortest, longest))
