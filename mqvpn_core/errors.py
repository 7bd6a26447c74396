"""The exception tree: the name of an exception says whose fault it is."""


class MqvpnError(Exception):
    """Base of everything mqvpn raises on purpose."""


class ConfigError(MqvpnError):
    """The user's settings are wrong; the message says which key and what to write instead."""


class DecodeError(MqvpnError):
    """Bytes from outside do not follow their format. The only error a decoder raises."""


class LocalProtocolError(MqvpnError):
    """Our own caller asked for something the protocol or the current state does not allow."""


class RemoteProtocolError(MqvpnError):
    """The peer broke a rule; carries the error code that the RFC names for it."""

    def __init__(self, error_code: int, reason: str) -> None:
        """Store the code and reason to close or reset with.

        Args:
            error_code: QUIC transport, HTTP/3 or H3 datagram error code.
            reason: short text for the log and the reason phrase.
        """
        super().__init__(f"{reason} (error code 0x{error_code:x})")
        self.error_code = error_code
        self.reason = reason


class HelperError(MqvpnError):
    """The privileged helper refused or failed."""


class HostError(MqvpnError):
    """The operating system refused a change; the message says what was tried and what to do."""


class HostLostError(HostError):
    """The machine took away what a running tunnel stands on, such as its TUN device."""
