"""Fixtures of the helper's tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqvpn_helper.host.operations import HostChanger
from mqvpn_helper.host.tun import OpenedTun
from tests.helper.namespaces import add_uplink, fresh_namespace


@pytest.fixture
def namespace() -> Iterator[None]:
    """Be in a fresh network namespace with one uplink, ``eth0``."""
    with fresh_namespace():
        add_uplink()
        yield


@pytest.fixture
def changer(tmp_path: Path) -> HostChanger:
    """Return what brings the machine to a plan."""
    return HostChanger(tmp_path / "state")


@pytest.fixture
def tun(changer: HostChanger, namespace: None) -> Iterator[OpenedTun]:
    """Have a TUN device, ``mqvpn0``."""
    del namespace
    opened = changer.open_tun("mqvpn0")
    yield opened
    os.close(opened.fd)
