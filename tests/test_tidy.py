"""Tests about the code itself: what a linter does not see and a stranger would stumble over."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pickle
import pkgutil
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import pytest

import fileroom
from fileroom.api.errors import HTTP_STATUS, error_answer
from fileroom.cli.program import program
from fileroom.client.transport import to_error
from fileroom.errors import FileroomError, Reason
from tests import conformance_page, reference_pages
from tests.project import PACKAGE, ROOT, files, module_name, modules, pages, relative, texts, tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FUNCTION_LINES_MAX: Final = 70
FILE_LINES_MAX: Final = 400
TEST_FILE_LINES_MAX: Final = 700

_MIGRATION: Final = "src/fileroom/database/migrations/versions/0001_schema.py"
LONGER: Final = {
    _MIGRATION: "a migration is written once and never changed",
    f"{_MIGRATION}:upgrade": "the same",
    "src/fileroom/api/routes.py": "the route table stands in one place",
    "src/fileroom/client/client.py": "one method a call, in the order of the API",
    "src/fileroom/database/schema.py": "the tables stand in one place",
}
"""Functions and files that are longer, each with the reason why it stays in one piece."""

HOSTS: Final = frozenset(
    {
        "127.0.0.1",
        "localhost",
        "healthcare.googleapis.com",
        "storage.googleapis.com",
        "hospitalstore.blob.core.windows.net",
        "www.googleapis.com",  # names of OAuth scopes, and an audience
        "accounts.google.com",  # the rest name audiences that Google's clients sign for
        "logging.googleapis.com",
        "oauth2.googleapis.com",
        "www.apache.org",
        "www.w3.org",  # the XML namespace of SVG
        "dicom.nema.org",
        "maven.apache.org",  # the XML namespace of a pom.xml
        "169.254.169.254",  # what an attack on the machine's credentials would name
    }
)
"""Hosts that a file of the project may name in a URL, beside names that no host can bear."""
_NOWHERE: Final = (".example", "example.org", "example.com", ".test", ".invalid")


VENDORED: Final = ROOT / "src" / "fileroom" / "console" / "static" / "vendor"
"""What others wrote, as they wrote it."""


def _offences(found: Iterable[str]) -> list[str]:
    return sorted(set(found))


# Size


def _functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_a_function_fits_a_screen() -> None:
    long = {
        f"{relative(file)}:{function.name}": lines
        for file in modules("src", "tests", "benchmarks", "examples")
        for function in _functions(file)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    }

    assert {name: lines for name, lines in long.items() if name not in LONGER} == {}


def test_a_file_is_one_room() -> None:
    long = {}
    for file in modules("src", "tests", "benchmarks", "examples"):
        most = TEST_FILE_LINES_MAX if file.is_relative_to(ROOT / "tests") else FILE_LINES_MAX
        lines = len(file.read_text(encoding="utf-8").splitlines())
        if lines > most and relative(file) not in LONGER:
            long[relative(file)] = lines

    assert long == {}


def test_every_exception_to_size_is_still_needed() -> None:
    known = {relative(file) for file in files()}

    assert [name for name in LONGER if name.partition(":")[0] not in known] == []


# What stands where


def _lines_of(file: Path, kinds: tuple[type[ast.AST], ...]) -> Iterator[str]:
    for node in ast.walk(tree(file)):
        if isinstance(node, kinds):
            yield f"{relative(file)}:{getattr(node, 'lineno', 0)}"


def test_only_the_http_edge_is_asynchronous() -> None:
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    inner = [file for file in modules("src") if not file.is_relative_to(PACKAGE / "api")]

    assert _offences(line for file in inner for line in _lines_of(file, kinds)) == []


def test_only_settings_command_line_client_and_clouds_read_the_environment() -> None:
    # Credentials of clouds are found where their own tools find them.
    clouds = PACKAGE / "objectstore" / "cloud"
    allowed = (PACKAGE / "settings", PACKAGE / "cli", PACKAGE / "client", clouds)
    inner = [
        file for file in modules("src") if not any(file.is_relative_to(place) for place in allowed)
    ]

    assert (
        _offences(
            f"{relative(file)}:{node.lineno}"
            for file in inner
            for node in ast.walk(tree(file))
            if isinstance(node, ast.Attribute)
            and node.attr in {"environ", "environb", "getenv", "putenv"}
        )
        == []
    )


def test_only_programs_print() -> None:
    inner = [file for file in modules("src") if not file.is_relative_to(PACKAGE / "cli")]

    assert (
        _offences(
            f"{relative(file)}:{node.lineno}"
            for file in inner
            for node in ast.walk(tree(file))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        )
        == []
    )


def test_every_module_is_a_noun_of_its_own() -> None:
    vague = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}

    assert [relative(file) for file in modules("src") if file.stem in vague] == []


def test_every_module_is_imported() -> None:
    entries = {"fileroom", "fileroom.__main__"}
    imported: set[str] = set()
    for file in modules("src"):
        for name in _imports(file):
            parts = name.split(".")
            imported |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    unused = [
        name
        for file in modules("src")
        if (name := module_name(file)) not in imported | entries
        and not name.startswith("fileroom.database.migrations")
    ]

    assert unused == []


def _imports(file: Path) -> Iterator[str]:
    """Give the modules that a file imports, or names in a text to be imported when needed."""
    name = module_name(file)
    for node in ast.walk(tree(file)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name != name)
            case ast.ImportFrom(module=str(module), names=names) if module != name:
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.Constant(value=str(text)) if text.startswith("fileroom."):
                yield text


def test_nothing_is_left_to_do_in_a_comment() -> None:
    marks = re.compile("TO" + "DO|FIX" + "ME|XX" + "X")

    ours = (
        (file, text)
        for file, text in texts()
        if VENDORED not in file.parents and file.name != "package-lock.json"  # hashes
    )
    assert _offences(relative(file) for file, text in ours if marks.search(text)) == []


# Errors


def _error_classes() -> list[type[FileroomError]]:
    for module in pkgutil.walk_packages(fileroom.__path__, "fileroom."):
        if not module.name.startswith(("fileroom.database.migrations", "fileroom.__main__")):
            importlib.import_module(module.name)
    found: list[type[FileroomError]] = [FileroomError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return found


def _example(kind: type[FileroomError]) -> FileroomError:
    given = {"message": "what, which, why", "reason": Reason.NOT_DICOM}
    parameters = list(inspect.signature(kind).parameters.values())
    required = [each for each in parameters if each.default is inspect.Parameter.empty]
    return kind(*(given.get(each.name) for each in required))  # type: ignore[arg-type]


def test_every_error_crosses_a_process_border() -> None:
    for kind in _error_classes():
        error = _example(kind)
        copy = pickle.loads(pickle.dumps(error))

        assert type(copy) is kind
        assert (copy.args, copy.__dict__) == (error.args, error.__dict__)


def test_every_error_has_its_http_status_and_comes_back_as_itself() -> None:
    for kind in _error_classes():
        answer = error_answer(_example(kind))
        body = json.loads(bytes(answer.body))  # type: ignore[arg-type]
        assert body["error"]["code"] == answer.status == HTTP_STATUS[kind.code]
        assert body["error"]["status"] == kind.code.name

        back = to_error(answer.status, bytes(answer.body), "the server")  # type: ignore[arg-type]
        assert back.code == kind.code


# Documents


def test_every_page_written_from_code_is_up_to_date() -> None:
    stale = [
        relative(page) for page, text in reference_pages.generate() if page.read_text() != text
    ]

    assert stale == [], "run: make docs"


def test_every_reason_code_is_explained() -> None:
    page = (ROOT / "docs" / "reference" / "reason-codes.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| `(\w+)`", page, flags=re.MULTILINE) == list(Reason)


def test_conformance_page_lists_every_promise_of_the_tests() -> None:
    written = set(conformance_page.written_promises())
    marked = conformance_page.marked_promises()

    assert marked - written == set(), "run: make docs"
    assert written - marked == set(), "run: make docs"


def test_conformance_page_lists_no_promise_that_failed_or_never_ran() -> None:
    passed = conformance_page.written_promises()

    assert [promise.text for promise, cell in passed.items() if cell in {"**no**", "not run"}] == []


def _links(text: str) -> Iterator[str]:
    without_code = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", without_code)


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", pages(), ids=relative)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in _links(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{relative(page)}: {link}"
        assert target.is_relative_to(ROOT), f"{relative(page)}: {link} leaves the project"
        if anchor:
            assert anchor in _anchors(target.read_text(encoding="utf-8")), (
                f"{relative(page)}: {link}"
            )


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        links = _links(page.read_text(encoding="utf-8"))
        targets = ((page.parent / link.partition("#")[0]).resolve() for link in links)
        waiting.extend(target for target in targets if target.suffix == ".md" and target.exists())

    assert [relative(page) for page in pages() if page not in reached] == []


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {
        (relative(page), target)
        for page in pages()
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), flags=re.MULTILINE)
    }

    assert [each for each in sorted(named) if each[1] not in targets] == []


def _shell_commands(page: Path) -> Iterator[list[str]]:
    """Give every call of ``fileroom`` in the shell code of a page, in words."""
    for code in re.findall(r"^ *```sh\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE):
        for line in code.replace("\\\n", " ").splitlines():
            for call in re.findall(r"(?:^ *|\$\()(?:\.venv/bin/)?fileroom ([^)#>]*)", line):
                yield shlex.split(call)


@pytest.mark.parametrize("page", pages(), ids=relative)
def test_every_command_that_a_page_shows_is_understood(page: Path) -> None:
    for words in _shell_commands(page):
        command: click.Command = program
        context, rest = click.Context(program, info_name="fileroom"), words
        while isinstance(command, click.Group):
            name, found, rest = command.resolve_command(context, rest)
            assert found is not None, words
            context, command = click.Context(found, parent=context, info_name=name), found
        command.make_context(context.info_name, rest, parent=context.parent)


def test_every_file_that_a_page_names_exists() -> None:
    places = ("src", "docs", "tests", "examples", "benchmarks")
    pattern = re.compile(rf"`((?:{'|'.join(places)})/[\w./-]+)`")
    named = {
        (relative(page), name)
        for page in pages()
        for name in pattern.findall(page.read_text(encoding="utf-8"))
    }

    assert [each for each in sorted(named) if not (ROOT / each[1]).exists()] == []


# What must not leave the machine the project is written on


def test_no_file_names_a_foreign_host() -> None:
    named = {
        (relative(file), host)
        for file, text in texts()
        if file.name != "package-lock.json" and VENDORED not in file.parents
        for host in re.findall(r"https?://(?:[^\s/@\"']+@)?([A-Za-z0-9.-]+)", text)
    }
    foreign = [
        each
        for each in sorted(named)
        if "." in each[1] and each[1] not in HOSTS and not each[1].endswith(_NOWHERE)
    ]

    assert foreign == []


def test_the_lock_file_of_the_node_packages_says_no_place_to_fetch_them_from() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())

    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


def test_no_file_names_a_place_of_this_machine() -> None:
    places = "|".join(re.escape(str(place)) for place in (ROOT, Path.home()) if place.parts[1:])
    pattern = re.compile(rf"(?<![\w.}}-])(?:{places})/") if places else re.compile("(?!)")

    assert [relative(file) for file, text in texts() if pattern.search(text)] == []
