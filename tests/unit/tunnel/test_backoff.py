"""Delays between attempts: quick while an outage is young, patient afterwards, jittered."""

from mqvpn_core.tunnel.backoff import Backoff, BackoffConfig

CONFIG = BackoffConfig()


def no_jitter(count: int) -> bytes:
    return bytes(count)


def most_jitter(count: int) -> bytes:
    return b"\xff" * count


def test_the_first_attempt_is_immediate() -> None:
    assert Backoff(CONFIG, no_jitter).next_delay(0.0) == 0.0


def test_delays_grow_and_stay_below_a_second_for_the_first_minutes() -> None:
    backoff = Backoff(CONFIG, no_jitter)
    delays = [backoff.next_delay(10.0 * number) for number in range(30)]
    assert delays == sorted(delays)
    assert delays[1] == CONFIG.first
    assert max(delays) == CONFIG.early_ceiling < 1.0


def test_a_long_outage_makes_the_client_patient() -> None:
    backoff = Backoff(CONFIG, no_jitter)
    delays = [backoff.next_delay(CONFIG.early_period + number) for number in range(20)]
    assert CONFIG.early_ceiling < delays[0] < delays[1] < delays[2]
    assert delays[-1] == CONFIG.ceiling


def test_jitter_only_shortens() -> None:
    quick = Backoff(CONFIG, most_jitter)
    slow = Backoff(CONFIG, no_jitter)
    for number in range(10):
        long = slow.next_delay(float(number))
        short = quick.next_delay(float(number))
        assert long * (1.0 - CONFIG.jitter) <= short <= long


def test_reset_forgets_the_outage() -> None:
    backoff = Backoff(CONFIG, no_jitter)
    for number in range(40):
        backoff.next_delay(10.0 * number)
    backoff.reset()
    assert backoff.next_delay(0.0) == 0.0
    assert backoff.next_delay(1.0) == CONFIG.first
    backoff.reset()
    assert backoff.next_delay(CONFIG.early_period) == CONFIG.early_ceiling * CONFIG.growth


def test_a_server_that_refuses_is_asked_seldom_at_once() -> None:
    backoff = Backoff(CONFIG, no_jitter)
    delays = [backoff.next_delay(10.0, is_refused=True) for _ in range(12)]
    assert CONFIG.early_ceiling < delays[0] < delays[1] < delays[2]
    assert delays[-1] == CONFIG.ceiling
    assert backoff.next_delay(10.0) == 0.0
    backoff.reset()
    assert backoff.next_delay(10.0, is_refused=True) == delays[0]
