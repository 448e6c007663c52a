from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.measure import Goal, Result, Side, Work, measure

if TYPE_CHECKING:
    from pathlib import Path


PEERS = {
    "import_ct": "cp -r && sync",
    "import_small": "cp -r && sync",
    "export_ct": "cp -r && sync",
    "scan_ct": "pydicom",
    "export_to_jpeg_2000": "gdcmconv --j2k",
    "export_from_jpeg_2000": "gdcmconv --raw",
    "export_to_jpeg_ls": "dcmcjpls",
    "export_from_jpeg_ls": "dcmdjpls",
}
"""What is measured beside Fileroom, where it is not Orthanc."""


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs_and_reports_each_side(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    work = tmp_path / "work"
    arguments = [name, "--instances=10", "--rounds=1", f"--json={report}", f"--work={work}"]

    assert main(arguments) == 0

    (result,) = json.loads(report.read_text())
    assert result["instances"] == 10
    shown = capsys.readouterr().out
    peer = PEERS.get(name, "Orthanc")
    if peer in result["absent"]:
        assert "not installed" in result["absent"][peer]
        peer = "Fileroom"
    for side in ("Fileroom", peer):
        assert len(result["sides"][side]["seconds"]) == 1
        assert f"| {side} |" in shown
    if name.startswith("import_"):
        assert "Orthanc" in result["sides"] or "not installed" in result["absent"]["Orthanc"]
    assert result["machine"]["fileroom"]
    assert list(work.iterdir()) == []


def test_sides_take_turns_and_their_medians_are_compared(tmp_path: Path) -> None:
    turns = []

    def side(name: str, seconds: list[float]) -> Side:
        def run(number: int) -> float:
            turns.append(name)
            return seconds[number]

        return Side(name=name, run=run)

    work = Work(
        title="work", instances=100, size_bytes=10**6, goals={"peer": Goal(at_least=1, aim=2)}
    )
    result = measure(
        work,
        [side("ours", [1, 9, 2]), side("peer", [4, 5, 3])],
        rounds=3,
        absent={"other": "not installed"},
        directory=tmp_path,
    )

    assert turns == ["ours", "peer"] * 3
    assert isinstance(result, Result)
    assert result.per_second("ours") == 50
    assert result.ratio("peer") == 2
    assert "| peer | 25 | 0 | 25 20 33 | 2.00x | 1x | 2x |" in result.to_table()
    assert "| other | absent: not installed |" in result.to_table()
