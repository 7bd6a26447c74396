"""Numbers as people read them, and as a screen reader says them."""

from PySide6.QtCore import QCoreApplication, QDateTime, QLocale
from PySide6.QtGui import QGuiApplication

_KILO = 1000.0
_SMALL_PART = 0.1
_SMALL_NUMBER = 10


def _tr(text: str) -> str:
    return QCoreApplication.translate("quantities", text)


def in_order(text: str) -> str:
    """A number with its unit, in that order also between words that are read from the right."""
    return f"\u2066{text}\u2069" if QGuiApplication.isRightToLeft() else text


def unbroken(text: str) -> str:
    """A text that is never cut into two lines."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def milliseconds(value: float) -> str:
    """A time in milliseconds."""
    return in_order(_tr("{0} ms").format(_number(value)))


def percent(part: float) -> str:
    """A part of one as a percentage."""
    digits = 1 if 0 < part < _SMALL_PART else 0
    return in_order(_tr("{0} %").format(QLocale().toString(part * 100, "f", digits)))


def rate(bits_per_second: float) -> str:
    """Bits a second."""
    if bits_per_second < _KILO:
        text = _tr("{0} bit/s").format(_number(bits_per_second))
    elif bits_per_second < _KILO**2:
        text = _tr("{0} kbit/s").format(_number(bits_per_second / _KILO))
    elif bits_per_second < _KILO**3:
        text = _tr("{0} Mbit/s").format(_number(bits_per_second / _KILO**2))
    else:
        text = _tr("{0} Gbit/s").format(_number(bits_per_second / _KILO**3))
    return in_order(text)


def size(count: float) -> str:
    """A number of bytes."""
    form = QLocale.DataSizeFormat.DataSizeSIFormat
    return in_order(QLocale().formattedDataSize(round(count), 1, form))


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: ``0:12:41``."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def short_moment(at: float) -> str:
    """A moment of today as its time with seconds, one of another day with its date."""
    then = QDateTime.fromSecsSinceEpoch(round(at))
    is_today = then.date() == QDateTime.currentDateTime().date()
    return in_order(then.toString("HH:mm:ss" if is_today else "MM-dd HH:mm"))


def moment(at: float) -> str:
    """A moment with its date."""
    return QDateTime.fromSecsSinceEpoch(round(at)).toString("yyyy-MM-dd HH:mm:ss")


def spoken_milliseconds(value: float) -> str:
    """A time with its unit in words."""
    return _tr("{0} milliseconds").format(_number(value))


def spoken_percent(part: float) -> str:
    """A part of one with its unit in words."""
    return _tr("{0} percent").format(_number(part * 100))


def spoken_rate(bits_per_second: float) -> str:
    """Bits a second with their unit in words."""
    if bits_per_second < _KILO**2:
        return _tr("{0} kilobits per second").format(_number(bits_per_second / _KILO))
    return _tr("{0} megabits per second").format(_number(bits_per_second / _KILO**2))


def _number(value: float) -> str:
    digits = 1 if 0 < value < _SMALL_NUMBER else 0
    return QLocale().toString(float(value), "f", digits)
