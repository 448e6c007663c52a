"""The tree of commands."""

from __future__ import annotations

from importlib.metadata import version

import click

from fileroom.cli.connection import connection_options
from fileroom.cli.groups import Group, LazyCommand

COMMANDS = {
    "serve": LazyCommand("fileroom.cli.serve", "serve", "Run the server."),
    "import": LazyCommand(
        "fileroom.cli.one_shot", "import_", "Import directories or buckets without a server."
    ),
    "export": LazyCommand(
        "fileroom.cli.one_shot", "export", "Export to a directory or bucket without a server."
    ),
    "download": LazyCommand(
        "fileroom.cli.download", "download", "Write the files of a study, series or instance."
    ),
    "failures": LazyCommand(
        "fileroom.cli.failures", "failures", "List every object that failed in an operation."
    ),
    "check": LazyCommand(
        "fileroom.cli.check", "check", "Compare what the index says with the bytes stored."
    ),
    "audit": LazyCommand("fileroom.cli.audit", "audit", "Read the audit log, and verify it."),
    "doctor": LazyCommand(
        "fileroom.cli.doctor", "doctor", "Look whether machine and settings are fit."
    ),
    "collect-garbage": LazyCommand(
        "fileroom.cli.collect_garbage", "collect_garbage", "Collect now what no row names any more."
    ),
    "rebuild-index": LazyCommand(
        "fileroom.cli.rebuild_index", "rebuild_index", "Make a lost database again from blobs."
    ),
    "buckets": LazyCommand(
        "fileroom.cli.buckets", "buckets", "List buckets, and check what works in them."
    ),
    "config": LazyCommand(
        "fileroom.cli.config", "config", "Show the settings that a server would start with."
    ),
    "auth": LazyCommand("fileroom.cli.auth", "auth", "Show the server's access token."),
    "service-accounts": LazyCommand(
        "fileroom.cli.service_accounts",
        "service_accounts",
        "Manage service accounts and their key files.",
    ),
    "datasets": LazyCommand(
        "fileroom.cli.datasets", "datasets", "Manage datasets, the owners of DICOM stores."
    ),
    "dicom-stores": LazyCommand(
        "fileroom.cli.dicom_stores", "dicom_stores", "Manage DICOM stores; import and export."
    ),
    "studies": LazyCommand(
        "fileroom.cli.studies", "studies", "Count, change and delete studies, series and instances."
    ),
    "operations": LazyCommand(
        "fileroom.cli.operations", "operations", "Follow imports, exports and other long work."
    ),
    "completion": LazyCommand(
        "fileroom.cli.completion", "completion", "Print what makes a shell complete commands."
    ),
}


def _print_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(f"fileroom {version('fileroom')}")
        ctx.exit()


@click.group("fileroom", cls=Group, lazy=COMMANDS)
@connection_options(environment=True)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def program() -> None:
    """Run or use a self-hosted DICOM store that speaks the Cloud Healthcare API v1.

    'fileroom serve' runs a server, 'import' and 'export' do without; most others speak to one, in
    the grammar of 'gcloud healthcare'. Exit codes: 0 done, 1 error, 2 wrong usage, 3 finished with
    failed objects, 130 interrupted.
    """


def main() -> None:
    """Run the program."""
    program(prog_name="fileroom")
