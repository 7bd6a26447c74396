"""A logind that gives delay locks and tells of suspend and resume when it reads a line.

Lines: ``sleep``, ``wake`` and ``count``; it answers each with the number of locks that are held.
"""

import os
import select
import sys

from jeepney import DBusAddress, FileDescriptor, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from jeepney.low_level import HeaderFields, Message, MessageType

MANAGER = DBusAddress(
    "/org/freedesktop/login1",
    bus_name="org.freedesktop.login1",
    interface="org.freedesktop.login1.Manager",
)


class Logind:
    """The locks are pipes: one is held as long as nobody has closed the other end."""

    def __init__(self, bus: DBusConnection) -> None:
        self._bus = bus
        self._locks: list[int] = []

    def answer(self, message: Message) -> None:
        if message.header.message_type is not MessageType.method_call:
            return
        assert message.header.fields[HeaderFields.member] == "Inhibit"
        mine, theirs = os.pipe()
        self._locks.append(mine)
        with FileDescriptor(theirs) as lock:
            self._bus.send(new_method_return(message, "h", (lock,)))

    def held(self) -> int:
        return sum(1 for each in self._locks if not select.select([each], [], [], 0)[0])

    def tell(self, *, is_going_to_sleep: bool) -> None:
        self._bus.send(new_signal(MANAGER, "PrepareForSleep", "b", (is_going_to_sleep,)))


def main() -> None:
    with open_dbus_connection("SYSTEM", enable_fds=True) as bus:
        bus.send_and_get_reply(message_bus.RequestName("org.freedesktop.login1"))
        logind = Logind(bus)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            readable, _, _ = select.select([sys.stdin, bus.sock], [], [])
            if bus.sock in readable:
                logind.answer(bus.receive())
            if sys.stdin in readable:
                word = sys.stdin.readline().strip()
                if not word:
                    return
                if word != "count":
                    logind.tell(is_going_to_sleep=word == "sleep")
                sys.stdout.write(f"{logind.held()}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
