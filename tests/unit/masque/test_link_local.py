"""The proof that a tunnel carries the 1280 bytes of IPv6."""

from ipaddress import IPv6Address

from mqvpn_core.masque.link_local import ALL_NODES, MtuProof, MtuProofState, answer_link_local_echo
from mqvpn_core.wire.ip_packets import decode_ip_header
from tests.unit.masque.samples import T0, at, echo_packet, ipv4_packet

ME = IPv6Address("fd00::2")
PEER = IPv6Address("fd00::1")


def proof(*targets: IPv6Address, wants_echo: bool = True) -> MtuProof:
    return MtuProof(ME, targets or (ALL_NODES,), grace=8.0, wants_echo=wants_echo)


def state_of(made: MtuProof) -> MtuProofState:
    return made.state


def answer_to(request: bytes) -> bytes:
    answer = answer_link_local_echo(request, decode_ip_header(request), PEER)
    assert answer is not None
    return answer


def test_checklist_52_an_echo_of_1280_bytes_is_asked_and_answered() -> None:
    made = proof()
    made.change_mtu(1400, T0)
    (request,) = made.take_requests()
    assert len(request) == 1280
    header = decode_ip_header(request)
    assert (header.source, header.destination) == (ME.packed, ALL_NODES.packed)
    assert state_of(made) is MtuProofState.WAITING
    other = ipv4_packet("198.51.100.7", "10.0.0.2")
    assert made.take_answers([other, answer_to(request), other]) == [other, other]
    assert state_of(made) is MtuProofState.PROVEN
    assert made.next_timeout() is None
    # Later packets are none of its business any more.
    assert made.take_answers([answer_to(request)]) == [answer_to(request)]


def test_checklist_52_no_answer_fails_after_eight_requests() -> None:
    made = proof(ALL_NODES, PEER)
    made.change_mtu(1400, T0)
    targets = []
    for _ in range(20):
        targets += [decode_ip_header(packet).destination for packet in made.take_requests()]
        deadline = made.next_timeout()
        if deadline is None:
            break
        made.handle_timeout(at(deadline - T0 - 0.01))
        assert made.take_requests() == []
        made.handle_timeout(deadline)
    assert state_of(made) is MtuProofState.FAILED
    assert targets == [ALL_NODES.packed, PEER.packed] * 4
    made.change_mtu(1500, at(60))
    assert made.take_requests() == []


def test_checklist_53_a_small_mtu_has_a_grace_period() -> None:
    made = proof()
    made.change_mtu(1200, T0)
    made.change_mtu(1240, at(1))
    assert made.take_requests() == []
    assert made.next_timeout() == at(8)
    made.handle_timeout(at(7.9))
    assert state_of(made) is MtuProofState.TOO_SMALL
    made.handle_timeout(at(8))
    assert state_of(made) is MtuProofState.FAILED


def test_checklist_53_an_mtu_that_grows_in_time_is_proven() -> None:
    made = proof()
    made.change_mtu(1200, T0)
    made.change_mtu(1280, at(1))
    (request,) = made.take_requests()
    made.take_answers([answer_to(request)])
    assert state_of(made) is MtuProofState.PROVEN


def test_checklist_53_an_mtu_that_falls_later_must_recover() -> None:
    made = proof(wants_echo=False)
    made.change_mtu(1400, T0)
    assert state_of(made) is MtuProofState.PROVEN
    assert made.take_requests() == []
    made.change_mtu(1200, at(10))
    assert state_of(made) is MtuProofState.TOO_SMALL
    made.change_mtu(1200, at(12))
    assert made.next_timeout() == at(18)
    made.change_mtu(1400, at(13))
    assert state_of(made) is MtuProofState.PROVEN
    made.handle_timeout(at(30))
    assert state_of(made) is MtuProofState.PROVEN


def test_answers_to_somebody_else_are_passed_on() -> None:
    made = proof()
    made.change_mtu(1400, T0)
    (request,) = made.take_requests()
    strangers = [
        echo_packet("fd00::1", "fd00::2", data=bytes(1232), reply=True),
        answer_to(request)[:-1],
        request,
        echo_packet("fd00::1", "fd00::2", reply=True),
        ipv4_packet("198.51.100.7", "10.0.0.2", size=1280),
        answer_to(request)[:-1] + b"!",
        bytes(1280),
    ]
    assert made.take_answers(strangers) == strangers
    assert state_of(made) is MtuProofState.WAITING
