"""The command line, run in the process of the test."""

from pathlib import Path

import pytest

from diascope.cli.main import main

RUN = ("--bundle", "tiny_bright", "--set", "tracking.enabled=false", "--set", "device=cpu")


class Shell:
    """Runs the command in this process."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], models: Path, tmp_path: Path
    ) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        monkeypatch.setenv("DIASCOPE_MODELS", str(models))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self.monkeypatch.setattr("sys.argv", ["diascope", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = self.capsys.readouterr()
        assert isinstance(end.value.code, int)
        return int(end.value.code), printed.out, printed.err
