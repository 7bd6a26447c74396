"""The card of one path: what it is, how it does, what it is for."""

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QWidget

from mqvpn_gui.model.helper_state import PathInfo, PathState, Role
from mqvpn_gui.windows.role_choice import RoleChoice
from mqvpn_gui.windows.sparkline import Sparkline
from mqvpn_gui.windows.widgets import ElidedLabel, plain_label, set_kind
from mqvpn_gui.words import quantities, states


def _tr(text: str) -> str:
    return QCoreApplication.translate("path_card", text)


class PathCard(QFrame):
    """Shows one path and asks for another role."""

    role_chosen = Signal(str, object)
    """Interface and `Role`."""

    def __init__(self, interface: str, parent: QWidget | None = None) -> None:
        """Make an empty card.

        Args:
            interface: the path's network interface.
            parent: owner in Qt's sense.
        """
        super().__init__(parent)
        self.interface = interface
        """The path's network interface."""
        self.setProperty("class", "card")
        self._name = ElidedLabel()
        font = self._name.font()
        font.setBold(True)
        self._name.setFont(font)
        self._state = plain_label()
        self._numbers = plain_label(wraps=True)
        self._traffic = plain_label(kind="faint", wraps=True)
        self._line = Sparkline()
        self._story = plain_label(wraps=True)
        self._role = RoleChoice()
        self._role.role_chosen.connect(self._on_role)
        self._used = plain_label(kind="faint", wraps=True)
        top = QHBoxLayout()
        top.addWidget(self._name, 1)
        top.addWidget(self._state)
        grid = QGridLayout(self)
        grid.setContentsMargins(12, 10, 12, 10)
        grid.setVerticalSpacing(4)
        grid.addLayout(top, 0, 0)
        grid.addWidget(self._numbers, 1, 0)
        grid.addWidget(self._traffic, 2, 0)
        grid.addWidget(self._used, 3, 0)
        grid.addWidget(self._line, 4, 0)
        grid.addWidget(self._story, 5, 0)
        grid.setRowStretch(6, 1)  # the roles of cards side by side stand on one line
        grid.addWidget(self._role, 7, 0, Qt.AlignmentFlag.AlignLeading)
        self.tell("")

    @property
    def stops(self) -> tuple[QWidget, ...]:
        """What Tab comes to, in its order."""
        return self._role.stops

    def show_path(self, path: PathInfo, round_trips: Sequence[float], colour: str) -> None:
        """Write all numbers.

        Args:
            path: the path now.
            round_trips: its round-trip times over the last minute, the oldest first.
            colour: of its line.
        """
        self._name.setText(states.link_name(path))
        self._state.setText(states.path_state(path))
        set_kind(self._state, _kind_of(path))
        if path.is_measured:
            self._numbers.setText(_numbers(path))
        elif path.state is PathState.ABANDONING:
            self._numbers.setText(_tr("its link or its address is gone"))
        else:
            self._numbers.setText(_tr("no numbers yet"))
        self._traffic.setText(_traffic(path))
        self._traffic.setVisible(path.is_measured)
        self._line.show_values(round_trips, colour)
        self._used.setText(_used(path))
        self._role.show_role(path)
        self.setAccessibleName(states.spoken_path(path))

    def tell(self, story: str) -> None:
        """Say what happened to the path last.

        Args:
            story: in words; empty: nothing worth it.
        """
        self._story.setText(story)
        self._story.setVisible(bool(story))

    def _on_role(self, role: Role) -> None:
        self.role_chosen.emit(self.interface, role)


def _kind_of(path: PathInfo) -> str:
    if path.role is Role.NEVER:
        return "faint"
    return {
        PathState.VALIDATING: "faint",
        PathState.ACTIVE: "good",
        PathState.SUSPECT: "warning",
        PathState.ABANDONING: "bad",
    }[path.state]


def _numbers(path: PathInfo) -> str:
    return _in_parts(
        _tr("RTT {0}").format(quantities.milliseconds(path.rtt_ms)),
        _tr("jitter {0}").format(quantities.milliseconds(path.jitter_ms)),
        _tr("loss {0}").format(quantities.percent(path.loss)),
    )


def _traffic(path: PathInfo) -> str:
    return _in_parts(
        f"\N{DOWNWARDS ARROW} {quantities.rate(path.rx_bps)}",
        f"\N{UPWARDS ARROW} {quantities.rate(path.tx_bps)}",
        _tr("{0} of the traffic").format(quantities.percent(path.share)),
    )


def _in_parts(*parts: str) -> str:
    """Parts that come into another line as a whole, where there is too little room."""
    return "   ".join(quantities.unbroken(part) for part in parts)


def _used(path: PathInfo) -> str:
    if path.cap_bytes:
        return _tr("{0} of {1} this month").format(
            quantities.size(path.used_bytes), quantities.size(path.cap_bytes)
        )
    used = _tr("{0} this month").format(quantities.size(path.used_bytes))
    return used + (_tr(", metered") if path.is_metered else "")
