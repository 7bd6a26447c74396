"""Fixtures of the helper's tests."""

from collections.abc import Iterator

import pytest

from tests.helper.namespaces import add_uplink, fresh_namespace


@pytest.fixture
def namespace() -> Iterator[None]:
    """Be in a fresh network namespace with one uplink, ``eth0``."""
    with fresh_namespace():
        add_uplink()
        yield
