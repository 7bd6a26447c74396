"""What two states of one journal record have in common, and what only one of them has."""

from dataclasses import replace

from mqvpn_helper.host.journal import JournalRecord
from mqvpn_helper.host.process_identity import NOBODY
from mqvpn_helper.interface.host_plan import DnsMethod, KillSwitchMode

_STRICTNESS = (KillSwitchMode.OFF, KillSwitchMode.STANDARD, KillSwitchMode.ALWAYS)


def union(old: JournalRecord, new: JournalRecord) -> JournalRecord:
    """Return a record of everything that either speaks of.

    Args:
        old: what was in force.
        new: what shall be.
    """
    return replace(
        new,
        bypass=tuple(dict.fromkeys((*old.bypass, *new.bypass))),
        has_table=old.has_table or new.has_table,
        settings={**old.settings, **new.settings},
        kill_switch=max(old.kill_switch, new.kill_switch, key=_STRICTNESS.index),
        excluded=tuple(dict.fromkeys((*old.excluded, *new.excluded))),
        link_settings={**old.link_settings, **new.link_settings},
        has_rules=old.has_rules or new.has_rules,
        dns=old.dns if new.dns is DnsMethod.NONE else new.dns,
    )


def surplus(old: JournalRecord, new: JournalRecord) -> JournalRecord:
    """Return a record of what has to be taken back when the new state replaces the old.

    Args:
        old: what was in force.
        new: what stays.
    """
    return replace(
        old,
        bypass=tuple(address for address in old.bypass if address not in new.bypass),
        has_table=old.has_table and not new.has_table,
        settings={
            group: saved for group, saved in old.settings.items() if group not in new.settings
        },
        # Of a kill switch only the rules for the next boot are apart from the table.
        kill_switch=(
            old.kill_switch
            if old.kill_switch is KillSwitchMode.ALWAYS is not new.kill_switch
            else KillSwitchMode.OFF
        ),
        excluded=tuple(network for network in old.excluded if network not in new.excluded),
        link_settings={
            key: saved for key, saved in old.link_settings.items() if key not in new.link_settings
        },
        has_rules=old.has_rules and not new.has_rules,
        dns=DnsMethod.NONE if old.dns is new.dns else old.dns,
    )


def held_back(record: JournalRecord, keep: KillSwitchMode) -> JournalRecord:
    """Return what stays of a record when its owner goes: its kill switch, or nothing.

    Args:
        record: all that was changed.
        keep: the weakest kill switch that stays; ``OFF``: none does.
    """
    stays = keep is not KillSwitchMode.OFF and (
        _STRICTNESS.index(record.kill_switch) >= _STRICTNESS.index(keep)
    )
    return JournalRecord(
        owner=NOBODY,
        tun_name=record.tun_name,
        netns=record.netns,
        instance=record.instance,
        has_table=record.has_table and stays,
        kill_switch=record.kill_switch if stays else KillSwitchMode.OFF,
    )
