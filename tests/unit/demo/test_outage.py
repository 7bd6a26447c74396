from mqvpn_core.demo.outage import longest_silence

PING = """PING 172.20.0.2 (172.20.0.2) 56(84) bytes of data.
[100.000000] 64 bytes from 172.20.0.2: icmp_seq=1 ttl=62 time=1.23 ms
[101.500000] 64 bytes from 172.20.0.2: icmp_seq=2 ttl=62 time=1.40 ms
[101.520000] no answer yet for icmp_seq=3
[101.590000] 64 bytes from 172.20.0.2: icmp_seq=7 ttl=62 time=1.31 ms
[101.610000] 64 bytes from 172.20.0.2: icmp_seq=8 ttl=62 time=1.31 ms
"""


def test_the_silence_that_spans_the_cut_counts() -> None:
    silence = longest_silence(PING, since=101.51)
    assert silence is not None
    assert round(silence, 3) == 0.09


def test_silences_before_the_cut_do_not_count() -> None:
    silence = longest_silence(PING, since=101.595)
    assert silence is not None
    assert round(silence, 3) == 0.02


def test_no_answer_after_the_cut_is_told() -> None:
    assert longest_silence(PING, since=200.0) is None
    assert longest_silence("", since=0.0) is None
