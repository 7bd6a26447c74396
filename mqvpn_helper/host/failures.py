"""The one error of the host room: the machine refused, or must not be touched."""


class HostChangeError(Exception):
    """A change of the machine failed; the message says what was tried and what to do about it."""
