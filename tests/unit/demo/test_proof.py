from mqvpn_core.demo.proof import Reading, objections

PAYLOAD = 1_000_000


def moved(
    *, server_tun: int = 1_040_000, links: int = 1_090_000, client_tun: int = 1_040_000
) -> Reading:
    return Reading(server_tun=server_tun, links=links, client_tun=client_tun)


def test_plausible_counters_raise_no_objection() -> None:
    assert objections(moved(), PAYLOAD) == []


def test_a_download_beside_the_tunnel_is_noticed() -> None:
    found = objections(moved(server_tun=0, client_tun=0), PAYLOAD)
    assert len(found) == 2
    assert "client's TUN device moved 0 bytes" in found[0]


def test_bytes_that_never_crossed_the_links_are_noticed() -> None:
    (found,) = objections(moved(links=5_000), PAYLOAD)
    assert "the links received 5000 bytes" in found


def test_ends_that_disagree_are_noticed() -> None:
    (found,) = objections(moved(server_tun=1_140_000), PAYLOAD)
    assert "disagree" in found


def test_far_too_many_bytes_are_noticed() -> None:
    assert objections(moved(server_tun=2_000_000, client_tun=2_000_000, links=2_100_000), PAYLOAD)


def test_difference_of_two_readings() -> None:
    before = Reading(server_tun=1, links=2, client_tun=3)
    after = Reading(server_tun=11, links=22, client_tun=33)
    assert after.since(before) == Reading(server_tun=10, links=20, client_tun=30)
