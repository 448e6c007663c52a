"""``objects`` of Cloud Storage's JSON API: listed, told and read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from fileroom.api.calls import Answer
from fileroom.api.ranges import find_range, unsatisfied
from fileroom.api.storage.incoming import asked_generation, check_generation, named_generation
from fileroom.api.storage.listing import parse_asked, read_page
from fileroom.api.storage.places import permitted, unnamed
from fileroom.api.storage.resources import (
    STORAGE_CLASS,
    content_type,
    generation_of,
    object_resource,
)
from fileroom.api.wire import json_answer
from fileroom.errors import NotFound
from fileroom.objectstore.buckets import open_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.api.calls import Call
    from fileroom.api.wire import JsonObject
    from fileroom.objectstore.contract import ObjectEntry, StoredObject

PIECE_BYTES: Final = 1 << 20


def list_(call: Call) -> Answer:
    """Give the objects of a bucket by name, or those of one level and the directories beside."""
    settings = permitted(call, "read")
    with unnamed():
        page = read_page(open_bucket(settings), parse_asked(call))
    content: JsonObject = {
        "kind": "storage#objects",
        "nextPageToken": page.next_page_token,
        "prefixes": page.directories,
        "items": [object_resource(call.public_url, settings, entry) for entry in page.entries],
    }
    return json_answer({name: value for name, value in content.items() if value})


def get(call: Call) -> Answer:
    """Give what is known of an object, or with ``alt=media`` its bytes."""
    if call.alt == "media":
        return download(call)
    settings, key = permitted(call, "read"), call.path["object"]
    with unnamed():
        entry = open_bucket(settings).find(key)
    if entry is None:
        raise _absent(call)
    _check(call, entry)
    return json_answer(object_resource(call.public_url, settings, entry))


def download(call: Call) -> Answer:
    """Give the bytes of an object, or a range of them."""
    settings, key = permitted(call, "read"), call.path["object"]
    with _found(call):
        source = open_bucket(settings).open(key)
    try:
        return _media(call, source)
    except BaseException:
        source.close()
        raise


def _media(call: Call, source: StoredObject) -> Answer:
    _check(call, source)
    etag = f'"{source.version}"'
    asked = find_range(call.headers, source.size, etag)
    start, stop = asked or (0, source.size)
    if asked is not None and start >= stop:
        source.close()
        return unsatisfied(source.size)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(stop - start),
        "ETag": etag,
        "X-Goog-Generation": str(generation_of(source)),
        "X-Goog-Metageneration": "1",
        "X-Goog-Storage-Class": STORAGE_CLASS,
    }
    if asked is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{source.size}"
    return Answer(
        status=200 if asked is None else 206,
        media_type=content_type(source.key),
        body=_ObjectPieces(source, start, stop),
        headers=headers,
    )


class _ObjectPieces:
    """A range of an object; closed, it closes the object, begun or not."""

    def __init__(self, source: StoredObject, start: int, stop: int) -> None:
        self._source = source
        self._place = start
        self._stop = stop

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._place >= self._stop:
            raise StopIteration
        with unnamed():
            piece = self._source.read_at(self._place, min(PIECE_BYTES, self._stop - self._place))
        self._place += len(piece)
        return piece

    def close(self) -> None:
        """Let go of the object."""
        self._source.close()


def _check(call: Call, found: ObjectEntry | StoredObject) -> None:
    """Refuse another generation than the one asked for."""
    if named_generation(call) not in {None, generation_of(found)}:
        raise _absent(call)
    check_generation(asked_generation(call), found)


@contextmanager
def _found(call: Call) -> Iterator[None]:
    try:
        with unnamed():
            yield
    except NotFound:
        raise _absent(call) from None


def _absent(call: Call) -> NotFound:
    return NotFound(
        f"No such object: {call.path['bucket']}/{call.path['object']}. A '/' in its name is to be"
        " written %2F in the path.",
        "object",
    )
