"""Congestion control: the controllers by name."""

from collections.abc import Callable

from mqvpn_core.errors import ConfigError
from mqvpn_core.quic.congestion.base import CongestionController
from mqvpn_core.quic.congestion.bbr import BbrController
from mqvpn_core.quic.congestion.cubic import CubicController
from mqvpn_core.quic.congestion.newreno import NewRenoController

CONGESTION_CONTROLLERS: dict[str, Callable[[int], CongestionController]] = {
    "bbr": BbrController,
    "cubic": CubicController,
    "newreno": NewRenoController,
}


def create_congestion_controller(name: str, max_datagram_size: int) -> CongestionController:
    """Return a fresh controller.

    Args:
        name: a key of `CONGESTION_CONTROLLERS`.
        max_datagram_size: UDP payload bytes of a full packet on the path.

    Raises:
        ConfigError: there is no such controller.
    """
    factory = CONGESTION_CONTROLLERS.get(name)
    if factory is None:
        known = ", ".join(sorted(CONGESTION_CONTROLLERS))
        raise ConfigError(f"congestion control {name!r} is unknown; use one of: {known}")
    return factory(max_datagram_size)
