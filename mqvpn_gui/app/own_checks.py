"""What this program can tell by itself, without the helper's report."""

from PySide6.QtCore import QCoreApplication

from mqvpn_gui.model.diagnosis import Check
from mqvpn_gui.model.helper_state import HelperState
from mqvpn_gui.words import states


def _tr(text: str) -> str:
    return QCoreApplication.translate("own_checks", text)


def own_checks(state: HelperState, profile: str, *, has_tray: bool) -> list[Check]:
    """Check helper, tray and servers.

    Args:
        state: what the helper says.
        profile: the server that Connect uses; empty: there is none.
        has_tray: whether a panel shows the icon.
    """
    return [
        Check(
            name=_tr("helper"),
            is_good=state.is_present,
            text=state.version if state.is_present else states.tunnel_state(state),
        ),
        Check(
            name=_tr("tray"),
            is_good=has_tray or None,
            text=_tr("shown") if has_tray else _tr("no panel takes icons"),
        ),
        Check(name=_tr("server"), is_good=bool(profile), text=profile or _tr("none added yet")),
    ]
