"""DICOM files sent to a server over STOW-RS, as they are read, and what became of them."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fileroom.client.transport import CHUNK_BYTES, Sending, Transport
from fileroom.client.values import objects
from fileroom.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fileroom.client.values import Json, JsonObject

_DICOM_JSON: Final = "application/dicom+json"
_RETRIEVE_URL: Final = "00081190"
_SOP_INSTANCE_UID: Final = "00081155"
_FAILED: Final = "00081198"
_STORED: Final = "00081199"
_FAILURE_DETAIL: Final = "00091097"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """An instance that the DICOM store has now, be it newly or since before."""

    sop_instance_uid: str
    retrieve_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedInstance:
    """A file that was not stored."""

    sop_instance_uid: str
    """Empty where the file is no instance."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreResult:
    """What became of the files of one request, each kind in the order of the files."""

    stored: tuple[StoredInstance, ...]
    refused: tuple[RefusedInstance, ...]


def store_files(
    transport: Transport,
    path: str,
    files: Iterable[Path | str | bytes],
    *,
    replace: bool,
    storage_class: str | None,
) -> StoreResult:
    """Send files in one request, each read while it is sent."""
    boundary = secrets.token_hex(16)
    sending = Sending(
        content=_multipart(files, boundary),
        headers={
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            **({} if storage_class is None else {"Storage-Class": storage_class}),
        },
        # 409 is an answer as well: some files were stored, or none.
        expected=(409,),
        api_version="v1beta1" if replace else "v1",
    )
    verb = "PUT" if replace else "POST"
    with transport.open(verb, path, sending=sending, accept=_DICOM_JSON) as response:
        content = response.read()
    try:
        model = json.loads(content)
    except ValueError:
        model = None
    if not isinstance(model, dict):
        raise Unknown(f"{transport.url} did not tell what became of the files")
    return _result(model)


def _multipart(files: Iterable[Path | str | bytes], boundary: str) -> Iterator[bytes]:
    for file in files:
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        if isinstance(file, bytes):
            yield file
        else:
            with Path(file).open("rb") as opened:
                while piece := opened.read(CHUNK_BYTES):
                    yield piece
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _result(model: JsonObject) -> StoreResult:
    return StoreResult(
        stored=tuple(
            StoredInstance(
                sop_instance_uid=_value(item, _SOP_INSTANCE_UID),
                retrieve_url=_value(item, _RETRIEVE_URL),
            )
            for item in _items(model, _STORED)
        ),
        refused=tuple(
            RefusedInstance(
                sop_instance_uid=_value(item, _SOP_INSTANCE_UID),
                message=_value(item, _FAILURE_DETAIL),
            )
            for item in _items(model, _FAILED)
        ),
    )


def _items(model: JsonObject, tag: str) -> list[JsonObject]:
    element: Json = model.get(tag)
    return objects(element, "Value") if isinstance(element, dict) else []


def _value(item: JsonObject, tag: str) -> str:
    """Give the first value of an element of text, "" where there is none."""
    element: Json = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values and isinstance(values[0], str) else ""
