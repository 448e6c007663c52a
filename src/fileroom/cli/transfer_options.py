"""The flags that imports and exports share, with a server and without."""

from __future__ import annotations

import click

from fileroom.dicom.media_types import export_mime_types

STORAGE_CLASS = click.Choice(["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"])

storage_class_option = click.option(
    "--storage-class",
    type=STORAGE_CLASS,
    help="Kept with each instance; STANDARD unless given.",
)
mode_option = click.option(
    "--mode",
    type=click.Choice(["copy", "reference"], case_sensitive=False),
    callback=lambda _context, _option, value: (value or "").upper(),
    help="reference leaves the objects where they lie and reads only their headers; copy unless"
    " given.",
)
duplicate_policy_option = click.option(
    "--duplicate-policy",
    type=click.Choice(["fail-if-different", "keep-first", "replace"], case_sensitive=False),
    callback=lambda _context, _option, value: (value or "").upper().replace("-", "_"),
    help="What becomes of an instance that is stored with other bytes; it fails unless given.",
)
filter_option = click.option(
    "--filter-config-gcs-uri",
    default="",
    help="gs:// file of lines /studies/UID[/series/UID[/instances/UID]]; everything unless given.",
)
mime_type_option = click.option(
    "--mime-type",
    default="",
    shell_complete=lambda _context, _option, begun: [
        text for text in export_mime_types() if text.startswith(begun)
    ],
    help="image/png, image/jpeg, application/octet-stream or application/dicom, the last two with"
    " '; transfer-syntax=UID' too; as stored unless given.",
)
