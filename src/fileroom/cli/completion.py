"""``fileroom completion``: what makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from fileroom.cli.groups import Command

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Command, example="fileroom completion bash >> ~/.bashrc")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete the names of commands and options.

    It belongs into the shell's start file; for fish: 'fileroom completion fish | source'.
    """
    program = ctx.find_root().command
    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    click.echo(found(program, {}, "fileroom", "_FILEROOM_COMPLETE").source())
