"""``mqvpn up``, ``down``, ``recover``, and what they say when something is in the way."""

import os
from functools import partial

import pytest
from keyring.errors import KeyringLocked, NoKeyringError

from mqvpn_gui.command.exit_codes import ExitCode
from mqvpn_gui.command.helper_client import BusCallError, HelperSignal
from mqvpn_gui.user.errors import HelperError, HelperMissingError, NotAuthorizedError
from mqvpn_helper.interface.bus_names import BusError
from mqvpn_helper.interface.profile import Profile
from tests.command.fake_helper import changed, up_properties
from tests.command.runs import LINK, Command


@pytest.fixture
def office(mqvpn: Command) -> Command:
    """``mqvpn`` with one profile whose key is kept, and a helper that connects at once."""
    mqvpn("profile", "import", piped=LINK)
    mqvpn.helper.rounds = [[changed(State="connecting")], [changed(**up_properties("Office"))]]
    return mqvpn


def test_up_hands_the_profile_over_and_the_key_apart(office: Command) -> None:
    outcome = office("up")
    assert outcome.code == ExitCode.OK
    assert outcome.out == "connected to vpn.example.org:443 as 10.0.0.2/32\n"
    assert office.helper.names() == ["Connect", "Subscribe"]
    members, key = office.helper.calls[0][1]
    assert key == "the-key-of-alice"
    assert isinstance(members, dict)
    assert members["mtu"] == ("u", 0)
    assert "the-key" not in str(members)
    plain = {name: value for name, (_, value) in members.items()}
    stored = office.store.read("office").settings
    assert Profile.from_mapping(plain) == stored
    assert not office.helper.is_open


def test_up_as_json_says_the_state(office: Command) -> None:
    value = office("up", "--json").json
    assert isinstance(value, dict)
    assert (value["state"], value["server"], len(value["paths"])) == (
        "up",
        "vpn.example.org:443",
        2,
    )


def test_up_twice_is_up(office: Command) -> None:
    office.helper.current = up_properties("Office")
    outcome = office("up", "office")
    assert (outcome.code, outcome.out) == (ExitCode.OK, "office is up already: connected\n")
    assert office.helper.calls == []


def test_up_chooses_the_profile(mqvpn: Command) -> None:
    none = mqvpn("up")
    assert (none.code, "mqvpn profile import" in none.err) == (ExitCode.FAILURE, True)
    mqvpn("profile", "import", piped=LINK)
    mqvpn("profile", "add", "lab", "--server", "lab.example", "--key-stdin", piped="k")
    many = mqvpn("up")
    assert many.code == ExitCode.USAGE
    assert "one of: lab, office" in many.err
    for wanted, key in (("Office", "the-key-of-alice"), ("lab", "k")):
        assert mqvpn("up", wanted, "--no-wait").out.startswith("connecting to ")
        assert mqvpn.helper.calls.pop()[1][1] == key
    assert mqvpn("up", "--no-wait").out == "connecting to lab.example:443\n"  # the last one
    assert "there is no profile nope" in mqvpn("up", "nope").err


def test_the_key_may_come_otherwise(office: Command) -> None:
    office("up", "--no-wait", "--key-stdin", piped="piped\n")
    office.hidden_answers = ["typed"]
    office("up", "--no-wait", "--ask", typed="")
    office("up", "--no-wait", "--no-key")
    keys = [arguments[1] for name, arguments in office.helper.calls if name == "Connect"]
    assert keys == ["piped", "typed", ""]
    assert office.kept("office") == "the-key-of-alice"
    both = office("up", "--ask", "--key-stdin")
    assert (both.code, "not allowed with" in both.err) == (ExitCode.USAGE, True)


@pytest.mark.parametrize(
    ("error", "said"),
    [(KeyringLocked("x"), "the keyring is locked"), (NoKeyringError("x"), "there is no keyring")],
)
def test_a_keyring_in_the_way(office: Command, error: Exception, said: str) -> None:
    office.keyring.error = error
    outcome = office("up")
    assert outcome.code == ExitCode.SECRET
    assert said in outcome.err
    assert "--key-stdin" in outcome.err
    assert office.helper.calls == []
    office.hidden_answers = ["typed-instead"]
    asked = office("up", typed="")
    assert asked.code == ExitCode.OK
    assert f"note: {said}" in asked.err
    assert office.helper.calls[-2][1][1] == "typed-instead"


def test_a_key_that_was_never_kept(mqvpn: Command) -> None:
    mqvpn("profile", "add", "lab", "--server", "h", "--no-key")
    outcome = mqvpn("up")
    assert (outcome.code, "'mqvpn profile set-key lab' keeps one" in outcome.err) == (5, True)


def test_a_refused_key_is_asked_for_once_more(office: Command) -> None:
    needed = HelperSignal(name="SecretsNeeded", values=("Office",))
    office.helper.rounds.insert(1, [needed])
    office.hidden_answers = ["the-right-key"]
    outcome = office("up", typed="")
    assert outcome.code == ExitCode.OK
    assert office.helper.calls[-1] == ("ProvideSecrets", ("the-right-key",))
    office.helper.current = {}
    office.helper.rounds = [[changed(State="connecting")], [needed]]
    refused = office("up")
    assert refused.code == ExitCode.SECRET
    assert "does not accept the key" in refused.err
    assert "mqvpn profile set-key office" in refused.err


def test_a_tunnel_that_fails_says_why(office: Command) -> None:
    failed = changed(State="error", LastError=("Unreachable", "nobody answers at 192.0.2.1"))
    office.helper.rounds = [[changed(State="connecting")], [failed]]
    outcome = office("up")
    assert outcome.code == ExitCode.TUNNEL
    assert outcome.err == "error: the tunnel did not come up: nobody answers at 192.0.2.1\n"


def test_an_old_error_is_not_the_outcome(office: Command) -> None:
    office.helper.current |= {"State": "error", "LastError": ("Host", "of yesterday")}
    office.helper.rounds.insert(0, [])
    assert office("up").code == ExitCode.OK


def test_a_tunnel_that_takes_long_goes_on(office: Command) -> None:
    office.step = 0.5
    office.helper.rounds = [[changed(State="connecting")]]
    outcome = office("up", "--timeout", "5")
    assert outcome.code == ExitCode.TUNNEL
    assert "not connected after 5 seconds; it goes on trying" in outcome.err
    assert "Disconnect" not in office.helper.names()
    for wrong in ("0", "x", "nan", "1e9"):
        assert office("up", "--timeout", wrong).code == ExitCode.USAGE


def test_an_interrupted_up_takes_the_tunnel_down(office: Command) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    office.helper.rounds = [[changed(State="connecting")]]
    office.helper.after_round = interrupt
    outcome = office("up")
    assert outcome.code == ExitCode.TUNNEL
    assert office.helper.names()[-1] == "Disconnect"
    assert "taken down" in outcome.err


def test_a_helper_that_dies_meanwhile_is_started_again(office: Command) -> None:
    """The next one brings the tunnel up again."""

    def die() -> None:
        office.helper.is_helper_gone = bool(office.helper.rounds)

    office.helper.rounds = [[changed(State="connecting")], [changed(State="up")]]
    office.helper.after_round = die
    assert office("up").code == ExitCode.OK
    assert office.helper.names() == ["Connect", "Subscribe", "Subscribe"]


def test_a_helper_that_nobody_needs_may_end(office: Command) -> None:
    def leave() -> None:
        office.helper.is_helper_gone = True

    office.helper.rounds = [[changed(State="off")]]
    office.helper.after_round = leave
    outcome = office("status", "--watch", "--json")
    assert (outcome.code, "the helper has ended" in outcome.err) == (ExitCode.FAILURE, True)
    assert office.helper.names() == ["Subscribe"]


def _refuse(error: Exception, _arguments: tuple[object, ...]) -> tuple[object, ...]:
    raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HelperMissingError("mqvpn's helper is not installed", "run: x"), ExitCode.HELPER_MISSING),
        (NotAuthorizedError("you may not do that", "log in"), ExitCode.NOT_AUTHORIZED),
        (HelperError("no answer", "y"), ExitCode.FAILURE),
    ],
)
def test_errors_have_two_lines_and_a_code(office: Command, error: HelperError, code: int) -> None:
    office.helper.open_error = error
    for arguments in (("up",), ("down",), ("status",), ("killswitch",)):
        outcome = office(*arguments)
        assert (outcome.code, outcome.out) == (code, "")
        assert outcome.err == f"mqvpn: {error.problem}\n  {error.advice}\n"


def test_down(mqvpn: Command) -> None:
    assert mqvpn("down").out == "disconnected\n"
    assert mqvpn.helper.names() == ["Disconnect"]
    error = BusCallError(BusError.NOT_CONNECTED, "x")
    mqvpn.helper.answers["Disconnect"] = partial(_refuse, error)
    assert mqvpn("down").out == "there was no tunnel\n"
    mqvpn.helper.current["State"] = "blocked"
    assert "'mqvpn killswitch off' opens it" in mqvpn("down").err
    value = mqvpn("down", "--json").json
    assert isinstance(value, dict)
    assert value["state"] == "blocked"
    busy = BusCallError(BusError.BUSY, "being taken down", "wait")
    mqvpn.helper.answers["Disconnect"] = partial(_refuse, busy)
    assert mqvpn("down").err == "mqvpn: being taken down\n  wait\n"


def test_recover_asks_first(mqvpn: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mqvpn("recover", typed="n\n").code == ExitCode.USAGE
    assert mqvpn.helper.calls == []
    for arguments, typed in ((("--yes",), ""), ((), "yes\n"), ((), None)):
        outcome = mqvpn("recover", *arguments, typed=typed)
        assert (outcome.code, mqvpn.helper.calls.pop()[0]) == (ExitCode.OK, "Recover")
    mqvpn.helper.open_error = HelperMissingError("no helper", "install it")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    outcome = mqvpn("recover")
    assert outcome.code == ExitCode.HELPER_MISSING
    assert "install it; or as root: mqvpn-core recover" in outcome.err
