"""Work that may wait (keyring, files) away from the window's thread, its outcome back in it."""

from collections.abc import Callable
from typing import Generic, TypeVar

from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal
from typing_extensions import override

from mqvpn_gui.user.errors import UserError

T = TypeVar("T")


class _Courier(QObject):
    """Carries an outcome from a worker thread to the thread that it was made in."""

    arrived = Signal(object)


class _Job(QRunnable, Generic[T]):
    def __init__(self, work: Callable[[], T], courier: _Courier) -> None:
        super().__init__()
        self._work = work
        self._courier = courier

    @override
    def run(self) -> None:
        try:
            outcome: object = (self._work(),)
        except UserError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - a worker's fault must reach the user as well
            outcome = UserError(f"{type(error).__name__}: {error}")
        self._courier.arrived.emit(outcome)


class Background(QObject):
    """Runs jobs one after the other, each with its handlers.

    C: `run`, `finish`.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        """Start without work."""
        super().__init__(parent)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(2)
        self._couriers: set[_Courier] = set()
        self._is_finished = False

    def run(
        self,
        work: Callable[[], T],
        on_result: Callable[[T], None],
        on_error: Callable[[UserError], None],
    ) -> None:
        """Do some work in a thread; one handler is called later, in this thread.

        None is called after `finish`: what they would show it on is going.

        Args:
            work: what to do; touches nothing of Qt.
            on_result: takes what it returned.
            on_error: takes what went wrong.
        """
        courier = _Courier(self)
        self._couriers.add(courier)

        def deliver(outcome: tuple[T] | UserError) -> None:
            if self._is_finished:
                return
            self._couriers.discard(courier)
            courier.deleteLater()
            if isinstance(outcome, UserError):
                on_error(outcome)
            else:
                on_result(outcome[0])

        courier.arrived.connect(deliver)
        self._pool.start(_Job(work, courier))

    def finish(self, seconds: float) -> bool:
        """Wait for the work under way, whose outcome nobody takes; False when it takes longer."""
        self._is_finished = True
        return self._pool.waitForDone(round(seconds * 1000))
