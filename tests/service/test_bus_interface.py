"""The table of the D-Bus interface agrees with itself and with what is generated from it."""

import re
import xml.etree.ElementTree as ET

from mqvpn_helper.interface.bus_interface import (
    HELPER,
    INTERFACES,
    METHODS,
    PATH_FIELDS,
    PROPERTIES,
    SIGNALS,
)
from mqvpn_helper.interface.bus_names import BUS_NAME, OBJECT_PATH, BusError, PolkitAction
from mqvpn_helper.interface.introspection import introspection_xml, introspection_xml_of_parent


def test_every_signature_is_one_complete_type() -> None:
    arguments = [
        *(each for method in METHODS for each in (*method.arguments, *method.results)),
        *(each for signal in SIGNALS for each in signal.arguments),
    ]
    signatures = [
        *(each.signature for each in arguments),
        *(each.signature for each in PROPERTIES),
        *PATH_FIELDS.values(),
    ]
    for signature in signatures:
        assert _SINGLE_TYPE.fullmatch(signature), signature


_BASIC = "[ybnqiuxtdsogh]"
_SINGLE_TYPE = re.compile(rf"a*({_BASIC}|v|\({_BASIC}+\)|\{{{_BASIC}({_BASIC}|v|as|a\{{sv\}})\}})")


def test_names_are_unique_within_an_interface() -> None:
    for interface in INTERFACES:
        names = [
            *(each.name for each in interface.methods),
            *(each.name for each in interface.signals),
            *(each.name for each in interface.properties),
        ]
        assert len(names) == len(set(names))


def test_what_changes_the_machine_asks_polkit() -> None:
    unguarded = {method.name for method in METHODS if method.action is None}
    assert unguarded == {"Subscribe", "Unsubscribe"}


def test_what_touches_a_tunnel_minds_whose_it_is() -> None:
    """The default of `connect` is yes for every active user, so it must not reach other users."""
    careless = {
        method.name
        for method in METHODS
        if method.action not in (None, PolkitAction.OTHERS) and not method.is_guarded_from_others
    }
    assert careless == {"Connect"}  # refused with Busy while any tunnel is up


def test_names_fit_the_rules_of_d_bus() -> None:
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+", BUS_NAME)
    assert "/" + BUS_NAME.replace(".", "/") == OBJECT_PATH
    for error in BusError:
        assert re.fullmatch(r"org\.mqvpn\.Error\.[A-Za-z]+", error.bus_name)


def test_introspection_says_what_the_table_says() -> None:
    root = ET.fromstring(introspection_xml())  # noqa: S314 - our own text
    described = {each.attrib["name"]: each for each in root.findall("interface")}
    assert set(described) == {each.name for each in INTERFACES}
    own = described[HELPER.name]
    methods = {each.attrib["name"]: each for each in own.findall("method")}
    assert set(methods) == {each.name for each in METHODS}
    for method in METHODS:
        arguments = methods[method.name].findall("arg")
        for direction, signature in (
            ("in", method.input_signature),
            ("out", method.output_signature),
        ):
            types = [
                each.attrib["type"] for each in arguments if each.get("direction") == direction
            ]
            assert "".join(types) == signature
    assert {each.attrib["name"] for each in own.findall("signal")} == {s.name for s in SIGNALS}
    properties = {each.attrib["name"]: each.attrib for each in own.findall("property")}
    assert properties == {
        each.name: {"name": each.name, "type": each.signature, "access": "read"}
        for each in PROPERTIES
    }


def test_a_parent_shows_the_way() -> None:
    root = ET.fromstring(introspection_xml_of_parent("mqvpn"))  # noqa: S314 - our own text
    assert [each.attrib for each in root] == [{"name": "mqvpn"}]
