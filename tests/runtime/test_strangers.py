"""Whoever has no tunnel cannot keep others out of a server, however many connections it opens."""

from dataclasses import replace
from pathlib import Path

import pytest

from mqvpn_core.app import server_settings
from tests.runtime.test_client_and_server import crosses, is_up, tell
from tests.runtime.visitor import visit
from tests.runtime.world import World

pytestmark = pytest.mark.slow


def test_a_new_client_takes_the_place_of_a_stranger_and_never_that_of_a_tunnel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_settings, "_SPARE_CONNECTIONS", 0)

    async def story(scene: World) -> None:
        config = replace(scene.server_config(), max_clients=2, max_handshakes=1)
        server = await scene.serve(config)
        alice = scene.connect(replace(scene.client_config(server), reconnect=False))
        await is_up(alice)
        async with visit(server.port), visit(server.port):  # all places are taken
            bob = scene.connect(replace(scene.client_config(server, "bob"), reconnect=False))
            await is_up(bob)
            async with visit(server.port), visit(server.port):
                await crosses(alice, server, b"undisturbed")
                await crosses(bob, server, b"undisturbed as well")
        assert not alice.over.is_set()
        assert not bob.over.is_set()

    tell(tmp_path, story)
