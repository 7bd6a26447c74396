"""The server as an ordinary web site, over real sockets."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from mqvpn_core.config import ServerConfig
from tests.runtime.visitor import Visitor, visit
from tests.runtime.world import World, open_descriptors, world

pytestmark = pytest.mark.slow

CONNECT_IP = (b":protocol", b"connect-ip")
TUNNEL_PATH = b"/.well-known/masque/ip/%2A/%2A/"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<p>front</p>")
    (folder / "empty.txt").touch()
    (tmp_path / "secret").write_text("outside")
    return folder


Visit = Callable[[Visitor], Awaitable[None]]


def at_site(folder: Path, site: Path | None, story: Visit, **changes: bool) -> None:
    async def main() -> None:
        async with world(folder) as scene:
            config: ServerConfig = replace(scene.server_config(), site=site)
            if changes.get("auth_challenge"):
                config = replace(config, auth_challenge=True)
            server = await scene.serve(config)
            async with visit(server.port) as visitor:
                await story(visitor)

    before = open_descriptors()
    trio.run(main)
    assert open_descriptors() == before


def test_pages_have_right_status_type_and_length(tmp_path: Path, site: Path) -> None:
    async def story(visitor: Visitor) -> None:
        front = await visitor.fetch(b"/")
        assert (front.status, bytes(front.body)) == (200, b"<p>front</p>")
        assert front.headers[b"content-type"] == b"text/html; charset=utf-8"
        assert front.headers[b"content-length"] == b"12"
        empty = await visitor.fetch(b"/empty.txt")
        assert (empty.status, empty.headers[b"content-length"]) == (200, b"0")
        assert (await visitor.fetch(b"/nothing")).status == 404
        assert (await visitor.fetch(b"/", b"DELETE")).status == 405

    at_site(tmp_path, site, story)


@pytest.mark.parametrize(
    "path",
    [
        b"/../secret",
        b"/%2e%2e/secret",
        b"/..%2fsecret",
        b"/%2e%2e%2fsecret",
        b"//..//secret",
        b"/index.html/../../secret",
        b"/link",
    ],
)
def test_nothing_outside_the_directory_is_served(tmp_path: Path, site: Path, path: bytes) -> None:
    (site / "link").symlink_to(tmp_path / "secret")

    async def story(visitor: Visitor) -> None:
        answer = await visitor.fetch(path)
        assert answer.status in {400, 404}
        assert b"outside" not in answer.body

    at_site(tmp_path, site, story)


def test_large_files_arrive_whole_and_side_by_side(tmp_path: Path, site: Path) -> None:
    data = bytes(range(256)) * 8192
    (site / "large.bin").write_bytes(data)

    async def story(visitor: Visitor) -> None:
        answers = [visitor.ask(b"/large.bin") for _ in range(3)]
        answers.append(await visitor.fetch(b"/large.bin"))
        with trio.fail_after(20):
            while not all(answer.is_complete for answer in answers):  # noqa: ASYNC110 - a test
                await trio.sleep(0.01)
        assert all(answer.body == data for answer in answers)
        assert answers[0].headers[b"content-length"] == str(len(data)).encode()

    at_site(tmp_path, site, story)


def test_a_tunnel_request_without_a_key_learns_nothing(tmp_path: Path, site: Path) -> None:
    (site / "404.html").write_text("<p>no such page</p>")

    async def story(visitor: Visitor) -> None:
        unknown = await visitor.fetch(b"/nothing")
        probe = await visitor.fetch(TUNNEL_PATH, b"CONNECT", CONNECT_IP)
        guess = await visitor.fetch(
            TUNNEL_PATH, b"CONNECT", CONNECT_IP, (b"authorization", b"Bearer wrong")
        )
        assert unknown.status == 404
        assert (probe.headers, probe.body) == (unknown.headers, unknown.body)
        assert (guess.headers, guess.body) == (unknown.headers, unknown.body)
        assert bytes(unknown.body) == b"<p>no such page</p>"

    at_site(tmp_path, site, story)


def test_auth_challenge_says_what_is_missing(tmp_path: Path) -> None:
    async def story(visitor: Visitor) -> None:
        probe = await visitor.fetch(TUNNEL_PATH, b"CONNECT", CONNECT_IP)
        assert probe.status == 401
        assert b"www-authenticate" in probe.headers

    at_site(tmp_path, None, story, auth_challenge=True)


def test_without_a_directory_there_is_a_small_page(tmp_path: Path) -> None:
    async def story(visitor: Visitor) -> None:
        front = await visitor.fetch(b"/")
        assert front.status == 200
        assert len(front.body) == int(front.headers[b"content-length"])
        assert (await visitor.fetch(b"/other")).status == 404

    at_site(tmp_path, None, story)


def test_a_reload_changes_the_site_and_later_pages_only(tmp_path: Path, site: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("new")

    async def main() -> None:
        async with world(tmp_path) as scene:
            config = replace(scene.server_config(), site=site)
            server = await scene.serve(config)
            async with visit(server.port) as visitor:
                assert bytes((await visitor.fetch(b"/")).body) == b"<p>front</p>"
                await server.reloads.send(replace(config, site=other))
                await trio.sleep(0.1)
                assert bytes((await visitor.fetch(b"/")).body) == b"new"

    trio.run(main)


def test_many_requests_do_not_disturb_the_server(tmp_path: Path, site: Path) -> None:
    async def story(scene: World) -> None:
        server = await scene.serve(replace(scene.server_config(), site=site))
        async with visit(server.port) as visitor:
            answers = [visitor.ask(b"/") for _ in range(90)]
            last = await visitor.fetch(b"/")
            assert {answer.status for answer in [*answers, last]} == {200}

    async def main() -> None:
        async with world(tmp_path) as scene:
            await story(scene)

    trio.run(main)
