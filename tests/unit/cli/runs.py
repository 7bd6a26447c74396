"""Runs ``mqvpn-core`` in this process, with the long-running parts replaced."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType

import pytest

import mqvpn_core.app
from mqvpn_core.app.config_files import Config
from mqvpn_core.cli import main, tunnels


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one call did."""

    code: int
    """Exit code."""
    out: str
    """Standard output."""
    err: str
    """Standard error."""
    configs: list[Config] = field(default_factory=list)
    """What the client or server was started with."""

    @property
    def config(self) -> Config:
        """The only configuration."""
        (config,) = self.configs
        return config


class CommandLine:
    """Calls ``main`` and catches what comes out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._configs: list[Config] = []
        self.run_code = 0
        self.reload: Callable[[], Config] | None = None
        self.missing_privilege: str | None = None
        monkeypatch.setattr(tunnels, "missing_privilege", lambda: self.missing_privilege)
        for role in ("client", "server"):
            fake = ModuleType(f"mqvpn_core.app.{role}")
            fake.__dict__["run"] = self._run
            monkeypatch.setitem(sys.modules, fake.__name__, fake)
            monkeypatch.setattr(mqvpn_core.app, role, fake, raising=False)

    def __call__(self, *arguments: str) -> Outcome:
        """Call ``mqvpn-core`` with ``arguments``."""
        self._configs.clear()
        with _logging_kept():
            try:
                code = main(arguments)
            except SystemExit as end:  # argparse after --help
                code = 0 if end.code is None else int(end.code)
        captured = self._capsys.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err, configs=list(self._configs))

    def _run(self, config: Config, reload: Callable[[], Config] | None = None) -> int:
        self.reload = reload
        logging.getLogger("mqvpn_core.app").info("running")
        assert "MQVPN_AUTH_KEY" not in os.environ
        self._configs.append(config)
        return self.run_code


@contextmanager
def _logging_kept() -> Iterator[None]:
    root = logging.getLogger()
    names = ("mqvpn_core", "mqvpn_helper")
    before = root.handlers[:], root.level, [logging.getLogger(name).level for name in names]
    try:
        yield
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        for name, level in zip(names, before[2], strict=True):
            logging.getLogger(name).setLevel(level)
