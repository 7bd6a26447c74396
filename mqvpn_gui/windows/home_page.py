"""The page with everything about the running tunnel: header, paths, graph, events."""

from collections.abc import Callable
from functools import partial
from itertools import chain

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from mqvpn_gui.look.theme import Colours
from mqvpn_gui.model.event_store import EventRecord, EventStore
from mqvpn_gui.model.helper_state import HelperState
from mqvpn_gui.model.history import MAX_INTERFACES, History, Quantity, Span
from mqvpn_gui.windows.card_grid import CardGrid
from mqvpn_gui.windows.event_panel import EventPanel
from mqvpn_gui.windows.flow_layout import FlowLayout
from mqvpn_gui.windows.graph import Graph, quantity_name, span_name
from mqvpn_gui.windows.header import Header
from mqvpn_gui.windows.path_card import PathCard
from mqvpn_gui.windows.widgets import ScrollPage, heading, lead_tab_through, plain_label
from mqvpn_gui.words.events import failover_of
from mqvpn_gui.words.states import link_name


def _tr(text: str) -> str:
    return QCoreApplication.translate("home_page", text)


class HomePage(ScrollPage):
    """Shows state, history and events; asks through its parts' signals.

    A: `name_of`. C: `show_state`, `show_events`, `set_colours`, `refresh_graph`.
    """

    role_chosen = Signal(str, object)
    """Interface and `Role`."""

    def __init__(
        self,
        history: History,
        store: EventStore,
        clock: Callable[[], float],
        chosen: Colours,
    ) -> None:
        """Show what there is.

        Args:
            history: numbers of the paths.
            store: the events.
            clock: seconds of the clock that the history uses.
            chosen: colours of the theme.
        """
        content = QWidget()
        super().__init__(content)
        self._history = history
        self._failovers = store.failovers
        self._clock = clock
        self._colours = chosen
        self._state = HelperState()
        self._cards: dict[str, PathCard] = {}
        self._spare: dict[str, PathCard] = {}
        self._link_names: dict[str, str] = {}
        self.header = Header(chosen)
        """State and toggle."""
        self.events = EventPanel(store, self.name_of)
        """The event log."""
        self._graph = Graph(history, clock, chosen)
        self._no_paths = plain_label(
            _tr("Links appear here when the tunnel is on."), "faint", wraps=True
        )
        self._card_grid = CardGrid()
        layout = QVBoxLayout(content)
        layout.setSpacing(10)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.header)
        layout.addWidget(heading(_tr("Paths")))
        layout.addWidget(self._no_paths)
        layout.addLayout(self._card_grid)
        layout.addLayout(self._graph_controls())
        layout.addWidget(self._graph, 1)
        layout.addWidget(self.events, 1)
        lead_tab_through(*self.header.stops)

    def name_of(self, interface: str) -> str:
        """What the user calls an interface."""
        # Also of a link that is gone: all who tell of its loss call it the same.
        return self._link_names.get(interface, interface)

    def show_state(self, state: HelperState) -> None:
        """Write everything anew."""
        self._state = state
        self.header.show_state(state)
        self._no_paths.setVisible(not state.paths)
        for gone in set(self._cards) - {path.interface for path in state.paths}:
            self._put_aside(self._cards.pop(gone))
        now = self._clock()
        names = self._history.interfaces
        if len(self._link_names) > MAX_INTERFACES:
            self._link_names.clear()
        self._link_names |= {path.interface: link_name(path) for path in state.paths}
        shown = set(self._cards)
        for position, path in enumerate(state.paths):
            card = self._cards.get(path.interface) or self._add_card(path.interface, position)
            points = self._history.points(path.interface, Span.MINUTE, now)
            index = names.index(path.interface) if path.interface in names else position
            colour = self._colours.paths[index % len(self._colours.paths)]
            card.show_path(path, [each.rtt_ms for each in points], colour)
        if shown != set(self._cards):
            cards = (self._cards[path.interface] for path in state.paths)
            lead_tab_through(*self.header.stops, *chain.from_iterable(each.stops for each in cards))
        self._tell_failovers()

    def show_events(self, records: list[EventRecord]) -> None:
        """Add events that are in the store already."""
        self.events.table.add(records)
        self._tell_failovers()

    def set_colours(self, chosen: Colours) -> None:
        """Change the colours."""
        self._colours = chosen
        self.header.set_colours(chosen)
        self._graph.set_colours(chosen)
        self.show_state(self._state)

    def refresh_graph(self) -> None:
        """Paint the graph with the numbers as they are now."""
        if self._graph.isVisible():
            self._graph.refresh()

    def _tell_failovers(self) -> None:
        """Say on each card which failover it had a part in last."""
        for interface, card in self._cards.items():
            record = self._failovers.about(interface)
            card.tell("" if record is None else failover_of(record, interface, self.name_of))

    def _put_aside(self, card: PathCard) -> None:
        # Links come back: their card is kept, for each new one would cost Qt a little for good.
        self._card_grid.removeWidget(card)
        card.hide()
        self._spare[card.interface] = card
        if len(self._spare) > MAX_INTERFACES:
            self._spare.pop(next(iter(self._spare))).deleteLater()

    def _add_card(self, interface: str, position: int) -> PathCard:
        card = self._spare.pop(interface, None)
        if card is None:
            card = PathCard(interface)
            card.role_chosen.connect(self.role_chosen)
        self._cards[interface] = card
        self._card_grid.addWidget(card)
        card.show()
        self._card_grid.move_last(position)
        return card

    def _graph_controls(self) -> QVBoxLayout:
        what = QButtonGroup(self)
        back = QButtonGroup(self)
        row = FlowLayout(spacing=4)
        for quantity in Quantity:
            button = _choice(quantity_name(quantity), is_on=quantity is Quantity.RTT)
            button.toggled.connect(partial(self._choose_quantity, quantity))
            what.addButton(button)
        row.addWidget(_side_by_side(what))
        row.add_gap()
        for span in Span:
            button = _choice(span_name(span), is_on=span is Span.MINUTE)
            button.toggled.connect(partial(self._choose_span, span))
            back.addButton(button)
        row.addWidget(_side_by_side(back))
        column = QVBoxLayout()
        column.addWidget(heading(_tr("Graph")))
        column.addLayout(row)
        return column

    # Screen readers toggle: that is no click, and the button that goes off tells it as well.

    def _choose_quantity(self, quantity: Quantity, is_on: bool) -> None:
        if is_on:
            self._graph.choose(quantity, self._graph.span)

    def _choose_span(self, span: Span, is_on: bool) -> None:
        if is_on:
            self._graph.choose(self._graph.quantity, span)


def _side_by_side(group: QButtonGroup) -> QWidget:
    widget = QWidget()
    row = QHBoxLayout(widget)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    for button in group.buttons():
        row.addWidget(button)
    return widget


def _choice(text: str, *, is_on: bool) -> QPushButton:
    button = QPushButton(text)
    button.setCheckable(True)
    button.setChecked(is_on)
    button.setAutoExclusive(True)  # a screen reader calls it one of several
    button.setProperty("class", "choice")
    return button
