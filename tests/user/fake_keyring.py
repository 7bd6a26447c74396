"""A keyring in memory, which can be made to misbehave."""

import threading


class FakeKeyring:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.error: Exception | None = None
        """Raised by every call."""
        self.gate: threading.Event | None = None
        """When there, calls wait for it, as for the answer to a question on the screen."""

    def get_password(self, service: str, username: str) -> str | None:
        self._misbehave()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._misbehave()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._misbehave()
        del self.kept[service, username]

    def _misbehave(self) -> None:
        if self.gate is not None:
            self.gate.wait(10)
        if self.error is not None:
            raise self.error
