"""Asking a port whether a QUIC server is there, over loopback, and what is made of the answer."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mqvpn_core.app.port_probe import Answer, Probe, addresses_of, ask_port, is_answer, question
from mqvpn_core.app.server_check import Verdict, examine_from_outside
from mqvpn_core.config import HostPort

OWN, OTHER = b"ownownow", b"otherone"
PATIENCE = 0.05


@contextmanager
def somebody(reply: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """Hold a port whose owner answers each packet; its number."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                datagram, peer = listening.recvfrom(2000)
                if not datagram:
                    return
                for each in reply(datagram):
                    listening.sendto(each, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", listening.getsockname())
            thread.join()


def versions(datagram: bytes) -> bytes:
    """What a server of QUIC says to a version that it does not know (RFC 8999 s6)."""
    other, own = datagram[6:14], datagram[15:23]
    return b"\x80" + bytes(4) + b"\x08" + own + b"\x08" + other + b"\0\0\0\1"


def test_a_question_is_as_long_as_servers_want_it() -> None:
    asked = question(OWN, OTHER)
    assert len(asked) == 1200
    assert asked[1:5] == bytes.fromhex("1a2a3a4a")
    assert is_answer(versions(asked), OWN, OTHER)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\x80",
        question(OWN, OTHER),
        versions(question(OTHER, OWN)),
        b"\x00" + versions(question(OWN, OTHER))[1:],
    ],
)
def test_what_is_no_answer(datagram: bytes) -> None:
    assert not is_answer(datagram, OWN, OTHER)


def test_a_server_answers_behind_what_others_send() -> None:
    with somebody(lambda asked: [b"", b"nonsense", versions(asked)]) as port:
        probe = ask_port("127.0.0.1", port, 5.0)
    assert probe.answer is Answer.VERSIONS
    assert probe.seconds < 5


def test_nobody_answers() -> None:
    with somebody(lambda asked: [asked]) as port:
        assert ask_port("127.0.0.1", port, PATIENCE).answer is Answer.SILENCE
    assert ask_port("127.0.0.1", port, PATIENCE).answer is Answer.REFUSAL
    assert ask_port("not an address", 1, PATIENCE).answer is Answer.NO_WAY


def test_addresses_of_a_name() -> None:
    assert addresses_of("192.0.2.1", 443) == [("192.0.2.1", 443)]


def verdicts(*answers: Answer) -> list[tuple[Verdict, str]]:
    """What is said about a server whose addresses answer like that."""
    left = iter(answers)
    server = HostPort(host="192.0.2.1", port=443)
    findings = [
        examine_from_outside(
            server, lambda address, _port: Probe(address=address, answer=next(left), seconds=0.012)
        )
        for _ in answers
    ]
    return [(each.verdict, each.text) for found in findings for each in found]


def test_each_answer_has_its_words() -> None:
    said = dict(zip(Answer, verdicts(*Answer), strict=True))
    assert said[Answer.VERSIONS] == (Verdict.GOOD, "192.0.2.1, UDP port 443: answers after 12 ms")
    assert said[Answer.REFUSAL][0] is Verdict.WRONG
    assert "no server listens" in said[Answer.REFUSAL][1]
    assert "firewall" in said[Answer.SILENCE][1]
    assert said[Answer.NO_WAY] == (
        Verdict.WRONG,
        "192.0.2.1, UDP port 443: this machine has no way there",
    )


def test_no_ipv6_here_is_no_fault_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [("192.0.2.1", 443), ("2001:db8::1", 443)]
    monkeypatch.setattr("mqvpn_core.app.server_check.addresses_of", lambda _host, _port: both)
    found = examine_from_outside(
        HostPort(host="vpn.example.org", port=443),
        lambda address, _port: Probe(
            address=address, answer=Answer.NO_WAY if ":" in address else Answer.VERSIONS
        ),
    )
    assert [each.verdict for each in found] == [Verdict.GOOD, Verdict.DOUBTFUL]


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_host: str, _port: int) -> list[tuple[str, int]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("mqvpn_core.app.server_check.addresses_of", fail)
    (finding,) = examine_from_outside(HostPort(host="vpn.example.org", port=443))
    assert finding.verdict is Verdict.WRONG
    assert finding.text == "cannot resolve vpn.example.org: Name or service not known"
