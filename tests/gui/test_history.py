"""What the graph draws: means over three spans, bounded, and no line where nothing was measured."""

from dataclasses import replace
from itertools import pairwise

import pytest
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from mqvpn_gui.look.theme import LIGHT
from mqvpn_gui.model.history import (
    MAX_INTERFACES,
    POINTS,
    History,
    Quantity,
    Sample,
    Span,
    measured_runs,
)
from mqvpn_gui.windows.graph import Graph
from tests.gui.samples import WIFI


def sample(at: float) -> Sample:
    return Sample(at, 1.0, 0.0, 0.0)


@pytest.mark.parametrize("span", list(Span))
def test_each_span_is_covered_and_bounded(span: Span) -> None:
    history = History()
    seconds = 2 * round(span.value)
    for second in range(seconds):
        history.add(replace(WIFI, rtt_ms=float(second % 2)), float(second))
    points = history.points("wlan0", span, float(seconds))
    assert len(points) <= POINTS + 1
    assert points[0].at - (seconds - span.value) <= 2 * max(span.step, 1.0)
    assert len(list(measured_runs(points, span))) == 1
    assert all(before.at < after.at for before, after in pairwise(points))
    if span.step >= 2:  # a point is the mean of what fell into it
        assert all(0.3 < point.rtt_ms < 0.7 for point in points[:-1])


def test_interfaces_without_end_are_not_all_kept() -> None:
    history = History()
    for number in range(2 * MAX_INTERFACES):
        history.add(replace(WIFI, interface=f"eth{number}"), float(number))
    assert len(history.interfaces) == MAX_INTERFACES
    assert history.points("eth0", Span.HOUR, 200.0) == []


def test_line_ends_where_nothing_was_measured() -> None:
    points = [sample(at) for at in (0.0, 1.0, 2.5, 20.0, 21.0)]
    runs = [[each.at for each in run] for run in measured_runs(points, Span.MINUTE)]
    assert runs == [[0.0, 1.0, 2.5], [20.0, 21.0]]
    assert len(list(measured_runs(points, Span.TEN_MINUTES))) == 2
    assert len(list(measured_runs(points, Span.HOUR))) == 1
    assert list(measured_runs([], Span.MINUTE)) == []


def has_line(picture: QImage, left: float, right: float) -> bool:
    """Whether there is blue between two places of the graph's width, the legend left out."""
    width, height = picture.width(), picture.height()
    pixels = (
        picture.pixelColor(x, y)
        for x in range(round(left * width), round(right * width))
        for y in range(height // 7, height)
    )
    return any(pixel.blue() - pixel.red() > 60 for pixel in pixels)


def test_loss_of_a_link_is_a_gap_in_its_line(qtbot: QtBot) -> None:
    history = History()
    for second in (*range(20), *range(45, 60)):
        history.add(WIFI, float(second))
    graph = Graph(history, lambda: 59.0, LIGHT)
    qtbot.addWidget(graph)
    graph.resize(800, 200)
    graph.choose(Quantity.RTT, Span.MINUTE)
    picture = graph.grab().toImage()
    assert has_line(picture, 0.15, 0.35)
    assert not has_line(picture, 0.45, 0.7)
    assert has_line(picture, 0.8, 0.95)
    assert graph.accessibleDescription() == "wlan0: 18 ms"
