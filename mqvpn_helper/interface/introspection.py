"""Introspection data of the helper's D-Bus object, generated from the table."""

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import quoteattr

from mqvpn_helper.interface.bus_interface import INTERFACES, Argument, Interface, Property

_DOCTYPE = (
    '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n'
    ' "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">'
)
_SUMMARY = "org.gtk.GDBus.DocString"
_EMITS_CHANGE = "org.freedesktop.DBus.Property.EmitsChangedSignal"


def introspection_xml() -> str:
    """Return the description of the object and everything it understands."""
    return _node(line for interface in INTERFACES for line in _interface(interface))


def introspection_xml_of_parent(child: str) -> str:
    """Return the description of an object that has nothing but one child.

    Args:
        child: name of the child, one element of a path.
    """
    return _node([f"<node name={quoteattr(child)}/>"])


def _node(inside: Iterable[str]) -> str:
    return "\n".join([_DOCTYPE, "<node>", *inside, "</node>", ""])


def _interface(interface: Interface) -> Iterator[str]:
    yield f"<interface name={quoteattr(interface.name)}>"
    for method in interface.methods:
        yield f"<method name={quoteattr(method.name)}>"
        yield _annotation(_SUMMARY, method.summary)
        yield from (_argument(each, "in") for each in method.arguments)
        yield from (_argument(each, "out") for each in method.results)
        yield "</method>"
    for signal in interface.signals:
        yield f"<signal name={quoteattr(signal.name)}>"
        yield _annotation(_SUMMARY, signal.summary)
        yield from (_argument(each) for each in signal.arguments)
        yield "</signal>"
    for each in interface.properties:
        yield from _property(each)
    yield "</interface>"


def _property(each: Property) -> Iterator[str]:
    name, signature = quoteattr(each.name), quoteattr(each.signature)
    yield f'<property name={name} type={signature} access="read">'
    yield _annotation(_SUMMARY, each.summary)
    yield _annotation(_EMITS_CHANGE, "true")
    yield "</property>"


def _argument(argument: Argument, direction: str | None = None) -> str:
    way = f" direction={quoteattr(direction)}" if direction else ""
    return f"<arg name={quoteattr(argument.name)} type={quoteattr(argument.signature)}{way}/>"


def _annotation(name: str, value: str) -> str:
    return f"<annotation name={quoteattr(name)} value={quoteattr(value)}/>"
