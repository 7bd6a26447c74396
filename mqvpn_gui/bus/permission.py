"""Whether this user may have a tunnel, as polkit would say it to the helper."""

import enum
from collections.abc import Callable

from jeepney import DBusAddress

from mqvpn_gui.bus.qt_bus import Call, QtBus, Reply
from mqvpn_helper.interface.bus_names import PolkitAction

AUTHORITY = DBusAddress(
    "/org/freedesktop/PolicyKit1/Authority",
    "org.freedesktop.PolicyKit1",
    "org.freedesktop.PolicyKit1.Authority",
)
"""polkit."""


class Permission(enum.Enum):
    """The answer."""

    YES = "yes"
    """The user may."""
    ASKED = "asked"
    """The user may, with a password."""
    NO = "no"
    """The user may not."""
    UNKNOWN = "unknown"
    """There is no polkit, or it may not be asked."""


def ask_permission(bus: QtBus, on_answer: Callable[[Permission], None]) -> None:
    """Ask without opening a question for a password.

    Args:
        bus: the system bus.
        on_answer: takes the answer.
    """
    subject = ("system-bus-name", {"name": ("s", bus.unique_name)})
    call = Call(
        target=AUTHORITY,
        method="CheckAuthorization",
        signature="(sa{sv})sa{ss}us",
        arguments=(subject, PolkitAction.CONNECT.value, {}, 0, ""),
    )

    def on_reply(reply: Reply) -> None:
        match reply:
            case ((bool(is_granted), bool(is_challenge), *_), *_):
                if is_granted:
                    on_answer(Permission.YES)
                else:
                    on_answer(Permission.ASKED if is_challenge else Permission.NO)
            case _:
                on_answer(Permission.UNKNOWN)

    bus.call(call, on_reply)
