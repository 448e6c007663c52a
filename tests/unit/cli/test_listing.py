from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from fileroom.cli.program import program
from tests.unit.client.scripted_server import Script, Scripted, scripted_server

PARENT = "projects/p/locations/l/datasets/d"


def page(*numbers: int, next_page_token: str = "") -> Scripted:
    operations = [
        {
            "name": f"{PARENT}/operations/{number}",
            "done": number % 2 == 0,
            "metadata": {"counter": {"success": str(number)}},
        }
        for number in numbers
    ]
    body = {"operations": operations, "nextPageToken": next_page_token}
    return Scripted(200, json.dumps(body).encode())


def list_operations(script: Script, *flags: str) -> Result:
    line = ("operations", "list", f"--dataset={PARENT}", f"--server={script.url}", *flags)
    result = CliRunner().invoke(program, line)
    if isinstance(result.exception, Exception):
        raise result.exception
    return result


def ids(*flags: str) -> list[str]:
    """Give what is listed of the operations 10, 9 and, on a second page, 2 and 1."""
    with scripted_server(page(10, 9, next_page_token="2"), page(2, 1)) as script:
        result = list_operations(script, "--format=value(name)", *flags)
    return result.stdout.split()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], ["10", "9", "2", "1"]),
        (["--filter=done=true"], ["10", "2"]),
        (["--filter=done=true", "--limit=1"], ["10"]),
        (["--sort-by=metadata.counter.success"], ["1", "2", "9", "10"]),
        (["--sort-by=done,~name"], ["9", "1", "2", "10"]),
        (["--sort-by=name", "--limit=2"], ["1", "10"]),
        (["--sort-by=~metadata.counter.success", "--filter=name~[0-9]$", "--limit=1"], ["10"]),
    ],
)
def test_rows_are_filtered_then_ordered_then_limited(flags: list[str], expected: list[str]) -> None:
    assert ids(*flags) == expected


@pytest.mark.parametrize(
    ("flags", "query"),
    [
        ([], ""),
        (["--limit=1"], "?pageSize=1"),
        (["--limit=1", "--filter=done=true"], ""),
        (["--limit=1", "--sort-by=name"], ""),
        (["--limit=1", "--page-size=7"], "?pageSize=7"),
    ],
)
def test_server_is_asked_for_no_more_than_is_printed(flags: list[str], query: str) -> None:
    with scripted_server(page(2)) as script:
        list_operations(script, *flags)
    assert [path for _, path, _ in script.requests] == [f"/v1/{PARENT}/operations{query}"]


def test_limit_reads_no_further_page() -> None:
    with scripted_server(page(10, 9, next_page_token="2"), page(2, 1)) as script:
        list_operations(script, "--filter=done=true", "--limit=1")
    assert len(script.requests) == 1


def test_uri_prints_urls() -> None:
    with scripted_server(page(2, 1)) as script:
        result = list_operations(script, "--uri", "--sort-by=name")
        refused = list_operations(script, "--uri", "--format=json")
    urls = [f"{script.url}/v1/{PARENT}/operations/{number}" for number in (1, 2)]
    assert result.stdout.splitlines() == urls
    assert refused.exit_code == 2
    assert "leave out --format" in refused.stderr


def test_misspelt_key_is_told_and_nothing_is_listed() -> None:
    with scripted_server(page(2, 1)) as script:
        result = list_operations(script, "--filter=doen=true OR metadata.counter.success=7")
    assert result.stdout == ""
    assert result.stderr == "WARNING: --filter names what no item has: doen\nListed 0 items.\n"


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--filter=done=", "Invalid value for '--filter': a value is missing: done= *HERE*"),
        ("--sort-by=name,", "Invalid value for '--sort-by': a key is missing: name, *HERE*"),
        ("--sort-by=name desc", "Invalid value for '--sort-by': nothing more is understood: name"),
        ("--format=bogus", "Invalid value for '--format': there is no format 'bogus'"),
        ("--page-size=0", "Invalid value for '--page-size'"),
    ],
)
def test_wrong_expression_is_one_line(flag: str, told: str) -> None:
    with scripted_server(page()) as script:
        result = list_operations(script, flag)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert script.requests == []


def test_failures_are_filtered_and_ordered_too() -> None:
    failures = [
        {"source": f"gs://b/{name}", "reason": reason, "error": {"code": 3, "message": "m"}}
        for name, reason in (("b", "EMPTY"), ("a", "EMPTY"), ("c", "NOT_DICOM"))
    ]
    with scripted_server(Scripted(200, json.dumps({"failures": failures}).encode())) as script:
        line = ("operations", "failures", f"{PARENT}/operations/7", f"--server={script.url}")
        flags = ("--filter=reason=empty", "--sort-by=source", "--format=value(source,error.code)")
        result = CliRunner().invoke(program, [*line, *flags])
    assert result.stdout == "gs://b/a\t3\ngs://b/b\t3\n"
