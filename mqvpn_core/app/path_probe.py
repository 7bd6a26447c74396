"""Looks at every path of a client at once, as after the machine was asleep."""

import logging

from mqvpn_core.app.client_parts import ClientParts
from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.runtime.clock import read_clock

_log = logging.getLogger(__name__)


def probe_paths(parts: ClientParts) -> None:
    """Have the server answer on each path; one that it does not answer on fails over soon."""
    if parts.attempts.live is None:
        return
    dialled, _ = parts.attempts.live
    now = read_clock()
    for path in dialled.connection.statistics().paths:
        try:
            # Validating the network path that it has already (RFC 9000 s8.2) takes one round trip
            # and brings a server that saw us elsewhere, or a NAT that forgot us, up to date.
            dialled.connection.migrate_path(path.path_id, path.four_tuple, now)
        except LocalProtocolError as error:
            _log.debug("path %d is not probed: %s", path.path_id, error)
    dialled.driver.kick()
