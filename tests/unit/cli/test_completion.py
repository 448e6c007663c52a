"""What a shell completes, in a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fileroom.cli.groups import UsageFailed
from fileroom.cli.program import program
from tests.server import clean_environment
from tests.tools import require_tool

_COMPLETE = """
eval "$(fileroom completion bash)"
complete -p fileroom
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_fileroom_completion fileroom
echo "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["op"], "operations"),
        (["dicom-stores", "im"], "import"),
        (["dicom-stores", "export", "gcs", "--mime"], "--mime-type"),
        (["completion", "z"], "zsh"),
        (["nothing", "z"], ""),
    ],
)
def test_bash_completes_commands_and_options(words: list[str], completed: str) -> None:
    programs = Path(sys.executable).parent
    ended = subprocess.run(
        [require_tool("bash"), "-c", _COMPLETE, "bash", "fileroom", *words],
        env=clean_environment() | {"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    registered, replied = ended.stdout.splitlines()
    assert registered.endswith("-F _fileroom_completion fileroom")
    assert replied == completed


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_given_theirs(shell: str) -> None:
    shown = CliRunner().invoke(program, ["completion", shell])
    assert (shown.exit_code, "_FILEROOM_COMPLETE" in shown.output) == (0, True)


def test_a_shell_that_is_not_known_is_told_which_are() -> None:
    with pytest.raises(UsageFailed, match="fish"):
        program.main(["completion", "tcsh"], standalone_mode=False)
