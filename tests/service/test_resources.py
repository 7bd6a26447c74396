"""The files that the system reads agree with the names of the interface."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from mqvpn_helper.interface.bus_interface import INTERFACES
from mqvpn_helper.interface.bus_names import BUS_NAME, PolkitAction
from mqvpn_helper.service.capabilities import Capability
from mqvpn_helper.session.core_launch import CORE_USER

RESOURCES = Path(__file__).parents[2] / "resources"
LANGUAGES = {"de", "fr", "es"}
XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def xml(name: str) -> ET.Element:
    return ET.fromstring((RESOURCES / name).read_bytes())  # noqa: S314 - our own file


def lines(name: str) -> dict[str, str]:
    text = (RESOURCES / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z]+)=(.*)$", text, re.MULTILINE))


def test_every_action_has_its_prompts_and_defaults() -> None:
    actions = {each.attrib["id"]: each for each in xml("org.mqvpn.policy").findall("action")}
    assert set(actions) == {each.value for each in PolkitAction}
    for action in actions.values():
        for kind in ("description", "message"):
            spoken = {each.get(XML_LANGUAGE): each.text for each in action.findall(kind)}
            assert set(spoken) == {None, *LANGUAGES}
            assert len(set(spoken.values())) == len(spoken)


@pytest.mark.parametrize(
    ("action", "elsewhere", "at_the_machine"),
    [
        (PolkitAction.CONNECT, "auth_admin", "yes"),
        (PolkitAction.DIAGNOSE, "auth_admin", "yes"),
        (PolkitAction.KILLSWITCH, "auth_admin", "auth_admin_keep"),
        (PolkitAction.CONFIGURE, "auth_admin", "auth_admin_keep"),
        (PolkitAction.OTHERS, "auth_admin", "auth_admin"),
    ],
)
def test_defaults_of_the_actions(action: PolkitAction, elsewhere: str, at_the_machine: str) -> None:
    (entry,) = xml("org.mqvpn.policy").findall(f"action[@id='{action.value}']/defaults")
    assert {each.tag: each.text for each in entry} == {
        "allow_any": elsewhere,
        "allow_inactive": elsewhere,
        "allow_active": at_the_machine,
    }


def test_the_bus_lets_everybody_call_every_interface_and_root_alone_be_it() -> None:
    policy = xml("org.mqvpn.Helper1.conf")
    owners = {
        each.get("user"): [rule.attrib for rule in each]
        for each in policy.findall("policy")
        if each.get("user")
    }
    assert owners == {"root": [{"own": BUS_NAME}]}
    rules = [rule.attrib for rule in policy.findall("policy[@context='default']/allow")]
    assert {each["send_destination"] for each in rules} == {BUS_NAME}
    assert {each["send_interface"] for each in rules} == {each.name for each in INTERFACES}


def test_the_files_of_d_bus_and_systemd_name_one_another() -> None:
    activation = lines(f"{BUS_NAME}.service")
    unit = lines("mqvpn-helper.service")
    assert activation["Name"] == unit["BusName"] == BUS_NAME
    assert activation["Exec"] == unit["ExecStart"]
    assert activation["SystemdService"] == "mqvpn-helper.service"
    assert unit["RuntimeDirectoryPreserve"] == "yes"


def test_systemd_starts_a_helper_that_died_again_and_keeps_its_secret() -> None:
    unit = lines("mqvpn-helper.service")
    assert (unit["Restart"], unit["NotifyAccess"]) == ("on-failure", "main")
    assert int(unit["FileDescriptorStoreMax"]) >= 1


def test_the_unit_leaves_the_capabilities_that_the_helper_keeps() -> None:
    allowed = lines("mqvpn-helper.service")["CapabilityBoundingSet"].split()
    assert set(allowed) == {f"CAP_{each.name}" for each in Capability}


def test_the_user_of_the_core_is_made() -> None:
    text = (RESOURCES / "mqvpn.sysusers.conf").read_text(encoding="ascii")
    assert re.search(rf"^u {CORE_USER} -", text, re.MULTILINE)
