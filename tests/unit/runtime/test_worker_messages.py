"""What workers say crosses unchanged; what makes no sense is a DecodeError and nothing else."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.errors import DecodeError
from mqvpn_core.masque.address_pool import Lease
from mqvpn_core.masque.authentication import Accepted, RateLimited, Refused
from mqvpn_core.runtime.worker_messages import (
    MAX_MESSAGE_BYTES,
    AcquireAddress,
    Answer,
    GiveBackTunnel,
    JudgeKey,
    Listening,
    Question,
    ReleaseAddress,
    Report,
    SmallestMtu,
    TakeTunnel,
    decode_answer,
    decode_question,
    decode_report,
    encode_answer,
    encode_question,
    encode_report,
)

ADDRESSES = st.ip_addresses()
NAMES = st.text(max_size=40)
QUESTIONS: st.SearchStrategy[Question] = st.one_of(
    st.builds(
        JudgeKey, authorization=st.none() | st.binary(max_size=80), peer_host=ADDRESSES.map(str)
    ),
    st.builds(TakeTunnel, user=st.none() | NAMES),
    st.builds(GiveBackTunnel, user=st.none() | NAMES),
    st.builds(
        AcquireAddress,
        version=st.sampled_from([4, 6]),
        user=NAMES,
        instance=NAMES,
        requested=st.none() | ADDRESSES,
        is_exact=st.booleans(),
    ),
    st.builds(ReleaseAddress, address=ADDRESSES, generation=st.integers(0, 1 << 62)),
)
ANSWERS: tuple[Answer, ...] = (
    None,
    True,
    False,
    Accepted(user="alice"),
    Accepted(user=None),
    Refused(),
    RateLimited(retry_after=2.5),
    Lease(address=ip_address("fd00::7"), user="", instance="x", generation=3),
)
REPORTS: tuple[Report, ...] = (Listening(), SmallestMtu(mtu=1280))


@given(question=QUESTIONS)
def test_questions_cross(question: Question) -> None:
    assert decode_question(encode_question(question)) == question


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_cross(answer: Answer) -> None:
    assert decode_answer(encode_answer(answer)) == answer


@pytest.mark.parametrize("report", REPORTS)
def test_reports_cross(report: Report) -> None:
    assert decode_report(encode_report(report)) == report


HOSTILE = (
    b"",
    b"{",
    b"[]",
    b'{"ask":"everything"}',
    b'{"ask":"release","address":"10.0.0","generation":1}',
    b'{"ask":"release","address":"10.0.0.1","generation":true}',
    b'{"ask":"key","authorization":"\xe2\x82\xac","peer":"10.0.0.1"}',
    b'{"ask":"key","authorization":"x","peer":"nowhere"}',
    b"[" * 5000,
    b" " * (MAX_MESSAGE_BYTES + 1),
)


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_nonsense_is_a_decode_error(data: bytes) -> None:
    for decode in (decode_question, decode_answer, decode_report):
        with pytest.raises(DecodeError):
            decode(data)


@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_decode_error(data: bytes) -> None:
    for decode in (decode_question, decode_answer, decode_report):
        with pytest.raises(DecodeError):
            decode(data)
