"""Looks at every path of a client at once, as after the machine was asleep."""

from mqvpn_core.app.client_parts import ClientParts


def probe_paths(parts: ClientParts) -> None:
    """Have the server answer on each path; one that it does not answer on fails over soon.

    A server that has forgotten the connection says so (RFC 9000 s10.3), and another one is made.
    """
    if parts.attempts.live is not None:
        dialled, _ = parts.attempts.live
        dialled.connection.probe_paths()
        dialled.driver.kick()
