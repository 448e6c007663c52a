from __future__ import annotations

import json
from typing import TYPE_CHECKING

from click.testing import CliRunner, Result

from fileroom.cli.program import program
from fileroom.settings.table import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def show(*arguments: str) -> Result:
    return CliRunner().invoke(program, ["config", "show", *arguments])


def test_each_setting_is_told_with_its_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILEROOM_WORKERS", "3")
    monkeypatch.delenv("FILEROOM_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "fileroom.toml"
    file.write_text('search = "google"\n[buckets."gs://demo"]\nurl = "in"\nallow = ["read"]\n')
    shown = show("--origin", "--format=json", f"--data={tmp_path / 'data'}")
    assert shown.exit_code == 0, shown.stderr
    rows = {row["setting"]: (row.get("value"), row["origin"]) for row in json.loads(shown.stdout)}
    assert list(rows) == [setting.name for setting in SETTINGS]
    assert rows["data"] == (str(tmp_path / "data"), "--data")
    assert rows["workers"] == (3, "FILEROOM_WORKERS")
    assert rows["search"] == ("google", "fileroom.toml")
    assert rows["buckets"] == (f"gs://demo = {tmp_path / 'in'} (read; *)", "fileroom.toml")
    assert rows["port"] == (8080, "default")
    assert "ORIGIN" not in show(f"--data={tmp_path}").stdout
    assert show(f"--data={tmp_path}", "--origin").stdout.splitlines()[0].split()[-1] == "ORIGIN"


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("workers = 0\n")
    shown = show(f"--config={file}")
    assert shown.exit_code == 2
    assert len(shown.stderr.splitlines()) == 1
    assert "must be a whole number" in shown.stderr
