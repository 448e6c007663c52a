"""The parts of docs/reference that are written from the code: ``python -m tests.reference_pages``.

A page is written by hand around blocks between ``<!-- written from code: NAME -->`` and
``<!-- end -->``; only these blocks are replaced.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

from fileroom.api.routes import ROUTES
from fileroom.api.routing import VERSIONS
from fileroom.cli.program import program
from fileroom.settings import SETTINGS
from tests.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fileroom.api.routing import Route

_BLOCK: Final = re.compile(r"(<!-- written from code: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def generate() -> Iterator[tuple[Path, str]]:
    """Give each page with such blocks as it must be."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if _BLOCK.search(text):
            yield (
                page,
                _BLOCK.sub(lambda block: f"{block[1]}{BLOCKS[block[2]]()}\n{block[3]}", text),
            )


def _table(headings: str, rows: Iterator[tuple[str, ...]]) -> str:
    columns = headings.count("|") + 1
    lines = [headings, " | ".join(["---"] * columns)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def settings() -> str:
    """Give the table of all settings."""
    return _table(
        "setting | flag | variable | default | what it is",
        (
            (
                f"`{each.name}`",
                f"`{each.flag}`" if each.flag else "",
                f"`{each.variable}`",
                each.default,
                each.help + (f" One of {', '.join(each.choices)}." if each.choices else ""),
            )
            for each in SETTINGS
        ),
    )


def commands() -> str:
    """Give every command with its arguments and options."""
    return "\n\n".join(_commands(program, click.Context(program, info_name="fileroom")))


def _commands(command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(inner, click.Context(inner, parent=context, info_name=name))
        return
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"### `{context.command_path}`\n\n`{context.command_path} {pieces}`"
    if command.help:
        yield re.sub(r"\s*\n\s*", " ", command.help.replace("\b", "").strip())
    options = [
        (f"`{', '.join(each.opts)}`", " ".join((each.help or "").split()))
        for each in command.params
        if isinstance(each, click.Option) and not each.hidden
    ]
    if options:
        yield _table("option | what it does", iter(options))


def routes() -> str:
    """Give the table of all routes."""
    return _table(
        "method | route | permission | offered",
        (
            (
                f"`{each.method_id}`",
                f"`{each.verb} {each.template}`",
                f"`{each.permission}`",
                "later" if "later" in each.handler.__qualname__ else _versions(each),
            )
            for each in ROUTES
        ),
    )


def _versions(route: Route) -> str:
    return "yes" if route.versions == VERSIONS else ", ".join(route.versions)


BLOCKS: Final[dict[str, Callable[[], str]]] = {
    "settings": settings,
    "commands": commands,
    "routes": routes,
}

if __name__ == "__main__":
    for page, text in list(generate()):
        page.write_text(text, encoding="utf-8")
