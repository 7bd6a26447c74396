"""Checks with an answer in words: what works, what does not, and what to do."""

from collections.abc import Iterator
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from mqvpn_gui.app.machine_look import MachineLook
from mqvpn_gui.bus.permission import Permission
from mqvpn_gui.model.diagnosis import Check, MachineFacts
from mqvpn_gui.model.helper_state import HelperState, PathInfo, PathState
from mqvpn_gui.words import states
from mqvpn_gui.words.quantities import milliseconds


def _tr(text: str) -> str:
    return QCoreApplication.translate("checks", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that was looked at."""

    state: HelperState
    """What the helper says."""
    profile: str
    """The server that Connect uses; empty: there is none."""
    has_tray: bool
    """A panel shows the icon."""
    machine: MachineLook
    """What this program sees of the machine."""
    permission: Permission
    """Whether this user may have a tunnel."""
    facts: MachineFacts
    """What the helper sees of the machine."""
    refusal: str = ""
    """Why the helper gave no report; empty: it did."""


def all_checks(found: Findings) -> list[Check]:
    """Return the checks in the order in which things depend on each other."""
    state, facts = found.state, found.facts
    return [
        _helper(state, found.refusal),
        _permission(found.permission),
        Check(
            subject="server",
            name=_tr("Server"),
            is_good=bool(found.profile),
            text=found.profile or _tr("none added yet"),
        ),
        _tun(facts),
        _nftables(facts),
        _leftovers(state, facts),
        _routes(state, found.machine),
        _name_servers(state),
        _clock(found.machine),
        *_paths(state),
        _tray(has_tray=found.has_tray),
    ]


def _helper(state: HelperState, refusal: str) -> Check:
    if not state.is_present:
        text = states.tunnel_state(state)
    else:
        text = refusal or _tr("version {0}").format(state.version)
    is_good = state.is_present and not refusal
    return Check(subject="helper", name=_tr("Helper"), is_good=is_good, text=text)


def _permission(permission: Permission) -> Check:
    return Check(
        subject="permission",
        name=_tr("Permission (polkit)"),
        is_good={Permission.YES: True, Permission.NO: False}.get(permission),
        text={
            Permission.YES: _tr("you may have a tunnel"),
            Permission.ASKED: _tr("a password is asked for at each connection"),
            Permission.NO: _tr("you may not have a tunnel"),
            Permission.UNKNOWN: _tr("polkit cannot be asked from here"),
        }[permission],
        advice=_tr("An administrator can allow it.") if permission is Permission.NO else "",
    )


def _tun(facts: MachineFacts) -> Check:
    text, advice = _tr("the helper does not tell"), ""
    if facts.has_tun is not None:
        text = _tr("the kernel has them") if facts.has_tun else _tr("the kernel has none")
    if facts.has_tun is False:
        advice = _tr("Load the module: sudo modprobe tun")
    return Check(
        subject="tun", name=_tr("TUN devices"), is_good=facts.has_tun, text=text, advice=advice
    )


def _nftables(facts: MachineFacts) -> Check:
    text, advice = _tr("the helper does not tell"), ""
    if facts.has_nft is not None:
        text = _tr("installed") if facts.has_nft else _tr("not installed")
    if facts.has_nft is False:
        advice = _tr("The kill switch needs the package nftables.")
    return Check(
        subject="nftables", name="nftables", is_good=facts.has_nft, text=text, advice=advice
    )


def _leftovers(state: HelperState, facts: MachineFacts) -> Check:
    is_good: bool | None = None
    text, advice = _tr("the helper does not tell"), ""
    if facts.journals is not None:
        is_left = bool(facts.journals) and not state.is_wanted
        is_good = not is_left
        text = _tr("nothing is left of earlier tunnels")
        if is_left:
            text = _tr("something is left of the tunnel {0}").format(", ".join(facts.journals))
            advice = _tr("Restore the network removes it.")
    return Check(
        subject="leftovers", name=_tr("Leftovers"), is_good=is_good, text=text, advice=advice
    )


def _routes(state: HelperState, machine: MachineLook) -> Check:
    is_good: bool | None = None
    advice = ""
    if not state.carries_traffic:
        text = _tr("there is no tunnel")
    elif machine.takes_tunnel is None:
        text = _tr("this program cannot look")
    elif machine.takes_tunnel:
        is_good, text = True, _tr("the internet is reached through the tunnel")
    elif machine.wants_everything and not state.split.include:
        is_good, text = False, _tr("the internet is reached beside the tunnel")
        advice = _tr("Another program may have changed the routes: connect again.")
    else:
        text = _tr("the internet is reached beside the tunnel, as the settings say")
    return Check(subject="routes", name=_tr("Routes"), is_good=is_good, text=text, advice=advice)


def _name_servers(state: HelperState) -> Check:
    if not state.carries_traffic:
        is_good, text = None, _tr("there is no tunnel")
    else:
        is_good, text = True, state.dns_method or _tr("as the machine has them")
    return Check(subject="dns", name=_tr("Name servers (DNS)"), is_good=is_good, text=text)


def _clock(machine: MachineLook) -> Check:
    advice = _tr("Switch the synchronisation of time on: certificates depend on it.")
    is_good: bool | None = True
    if not machine.has_possible_date:
        is_good, text = False, _tr("it shows a day before this program was made")
    elif machine.is_clock_kept is None:
        is_good, text, advice = None, _tr("nobody tells whether it is right"), ""
    elif machine.is_clock_kept:
        text, advice = _tr("kept right"), ""
    else:
        is_good, text = None, _tr("nothing keeps it right")
    return Check(subject="clock", name=_tr("Clock"), is_good=is_good, text=text, advice=advice)


def _paths(state: HelperState) -> Iterator[Check]:
    for path in state.paths:
        is_good, text = _path(path)
        yield Check(subject="path", name=states.link_name(path), is_good=is_good, text=text)


def _path(path: PathInfo) -> tuple[bool | None, str]:
    match path.state:
        case PathState.ACTIVE:
            text = _tr("answers in {0}").format(milliseconds(path.rtt_ms))
            if path.mtu:
                text = _tr("{0}, packets of up to {1} bytes").format(text, path.mtu)
            return True, text
        case PathState.VALIDATING:
            return None, _tr("nobody has answered on it yet")
        case PathState.SUSPECT:
            return False, _tr("nothing is answered on it any more")
        case PathState.ABANDONING:
            return False, _tr("its link or its address is gone")


def _tray(*, has_tray: bool) -> Check:
    return Check(
        subject="tray",
        name=_tr("Tray icon"),
        is_good=has_tray or None,
        text=_tr("shown") if has_tray else _tr("no panel takes icons"),
    )
