"""One key of the configuration: what the table's rows are made of."""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)
_T = TypeVar("_T")


class Role(enum.Enum):
    """Which side a run plays."""

    CLIENT = "client"
    """Opens a tunnel."""
    SERVER = "server"
    """Accepts tunnels."""


class Form(enum.Enum):
    """How a value is written in TOML and JSON."""

    TEXT = "text"
    """A string."""
    NUMBER = "number"
    """A number; a word such as "auto" is a string."""
    BOOLEAN = "true or false"
    """A boolean."""
    SWITCH = "text, or true or false"
    """A boolean, or one of several words for how; on the command line the word may be left out."""
    LIST = "list of texts"
    """A list of strings; in INI and on the command line repeated, or separated by commas."""
    TABLE = "table of texts"
    """A table ``NAME = "VALUE"``; on the command line and in INI repeated ``NAME=VALUE``."""
    USERS = "table of users"
    """A table ``NAME = "KEY"``; on the command line and in INI repeated ``NAME:KEY``."""


class Group(enum.Enum):
    """Headings of help and documentation, in their order."""

    SERVER_ADDRESS = "Server"
    """Who is at the other end, or where to listen."""
    TRUST = "Trust"
    """How the server proves who it is."""
    ACCESS = "Access"
    """How a client proves that it may."""
    ADDRESSES = "Addresses and routes"
    """What the tunnel carries."""
    PROTECTION = "Kill switch and split tunnelling"
    """What may leave outside the tunnel."""
    DEVICE = "Device"
    """The TUN device."""
    LINKS = "Links"
    """Which network interfaces carry it."""
    CONNECTION = "Connection"
    """The QUIC connection."""
    LIMITS = "Limits"
    """Bounds on load."""
    SITE = "Web site"
    """What ordinary visitors see."""
    OPERATION = "Operation"
    """Running it."""


BOTH = frozenset({Role.CLIENT, Role.SERVER})
CLIENT = frozenset({Role.CLIENT})
SERVER = frozenset({Role.SERVER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Generic[T_co]):
    """One key."""

    name: str
    """Key in TOML and JSON; the option is the same with dashes."""
    roles: frozenset[Role]
    """Who has it."""
    group: Group
    """Heading it stands under in help and documentation."""
    form: Form
    """How its value is written."""
    allowed: str
    """What values it takes, for humans."""
    default: tuple[str, ...] | None
    """Texts of the default; ``None``: the key is required."""
    doc: str
    """One sentence."""
    parse: Callable[[Sequence[str]], T_co]
    """Texts to value."""
    placeholder: str = ""
    """Stands for the value in ``--help``."""
    options: tuple[str, ...] = ()
    """Further options that mean the same."""
    ini: str = ""
    """``Section.Key`` in an INI file of the C program."""
    json: str = ""
    """Key in a JSON file of the C program, when it differs."""
    is_secret: bool = False
    """Never show the value."""
    is_file: bool = False
    """Names a file or directory; in a configuration file relative to that file."""
    advise: Callable[[Sequence[str]], str | None] = lambda _texts: None
    """Returns a warning about texts that are accepted but do not do what they say."""

    @property
    def option(self) -> str:
        """The long option."""
        return "--" + self.name.replace("_", "-")


def last(parse: Callable[[str], _T]) -> Callable[[Sequence[str]], _T]:
    """Return a reader of single values: of several, the last counts."""

    def parse_last(texts: Sequence[str]) -> _T:
        return parse(texts[-1])

    return parse_last
