"""What every test run has: the conformance page and the closing table of what was skipped."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests import conformance_page, error_table, examples_table, silence

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from _pytest.terminal import TerminalReporter

_CLAUSE = "clause"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-conformance",
        action="store_true",
        help="write docs/conformance.md from what the tests of this run showed",
    )


def pytest_configure() -> None:
    silence.listen()


@pytest.fixture(autouse=True)
def _no_name_is_logged() -> Iterator[None]:
    """Whatever a test does, no patient's name is in what Fileroom logs of it."""
    silence.LISTENER.take()
    yield
    assert silence.LISTENER.take() == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that passed if its processes wrote a patient's name where pytest captures it.

    That is what programs say that a test runs, and workers of a server within it. The report of a
    test's teardown has the sections of its whole life.
    """
    report = yield
    telling = silence.telling_sections(report.sections) if report.when == "teardown" else []
    if telling and report.passed:
        report.outcome = "failed"
        report.longrepr = f"a patient's name in {telling}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each report carry the promises of its test: reports, not items, cross processes."""
    for item in items:
        for marker in item.iter_markers(_CLAUSE):
            promise = conformance_page.promise_of(marker.args, marker.kwargs)
            item.user_properties.append((_CLAUSE, [promise.reference, promise.text, promise.holds]))


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    reports = list(_reports(terminalreporter))
    if config.getoption("--write-conformance"):
        conformance_page.write(_outcomes(reports))
        terminalreporter.write_line(f"written: {conformance_page.PAGE}")
        examples_table.write(examples_table.outcomes_of(reports))
        terminalreporter.write_line(f"written: {examples_table.PAGE}")
        error_table.write(error_table.seen_of(reports))
        terminalreporter.write_line(f"written: {error_table.PAGE}")
    skipped = Counter(_reason(report) for report in reports if report.skipped)
    if skipped:
        terminalreporter.section("not run, and why")
        for reason, count in sorted(skipped.items()):
            terminalreporter.write_line(f"{count:5}  {reason}")


def _reports(terminalreporter: TerminalReporter) -> Iterator[pytest.TestReport]:
    for category in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(category):
            if hasattr(report, "user_properties"):
                yield report


def _outcomes(
    reports: list[pytest.TestReport],
) -> dict[conformance_page.Promise, conformance_page.Outcome]:
    outcomes: dict[conformance_page.Promise, conformance_page.Outcome] = {}
    for report in reports:
        for name, value in report.user_properties:
            if name != _CLAUSE or not isinstance(value, list):
                continue
            outcome = outcomes.setdefault(
                conformance_page.Promise(*value), conformance_page.Outcome()
            )
            if report.skipped:
                outcome.skipped.append(_reason(report))
            elif report.failed:
                outcome.failed += 1
            elif report.when == "call":
                outcome.passed += 1
    return outcomes


def _reason(report: pytest.TestReport) -> str:
    match report.longrepr:
        case (_, _, str() as reason):
            return reason.removeprefix("Skipped: ")
        case _:
            return str(report.longrepr)
