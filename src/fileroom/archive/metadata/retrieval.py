"""What a request for metadata gets: a snapshot of rows, its ETag, and the texts of its instances.

It begins with the rows, whatever is kept in files: what was deleted is not told, and a series that
changed is told anew, from the moment of the commit on.
"""

from __future__ import annotations

import hashlib
import html
from collections import deque
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

from fileroom.archive.metadata.cache import CachedSeries
from fileroom.archive.metadata.slices import METADATA_FORMAT, URL_MARK, decompress
from fileroom.archive.metadata.telling import (
    OWN_INSTANCES,
    SeriesSlice,
    Teller,
    is_light,
    slices_of,
)
from fileroom.archive.retrieve import absent, find_instance
from fileroom.database.stored import find_series, list_instances_of_series, list_series
from fileroom.database.values.stored import SeriesVersion
from fileroom.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from fileroom.archive.metadata.cache import CacheWriter, MetadataCache
    from fileroom.archive.metadata.slices import Form
    from fileroom.archive.metadata.telling import Instances
    from fileroom.archive.retrieve import StoreContent
    from fileroom.archive.workers import RequestWorkers
    from fileroom.database.values.stored import StoredInstance
    from fileroom.names import InstancePath

_Unit = CachedSeries | SeriesSlice


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataFound:
    """The instances whose metadata are asked for, as they were at one moment."""

    series: tuple[SeriesVersion, ...]
    instance: StoredInstance | None = None
    """The one that is meant, where it is not all of them."""

    @property
    def count(self) -> int:
        """About how many instances they are."""
        return 1 if self.instance else sum(each.instance_count for each in self.series)

    def etag(self, form: Form, dicom_web_url: str) -> str:
        """Give the ETag, which moves with any instance of the series, or of any of the series.

        The text depends on the URL too, and a deleted store's numbers may come again in another.
        """
        numbers = [f"{each.series_id}-{each.changed_seq}" for each in self.series]
        version = numbers[0]
        if len(numbers) > 1:
            version = hashlib.sha256(" ".join(numbers).encode()).hexdigest()[:32]
        other = crc32(f"{self.series[0].store_id} {dicom_web_url}".encode())
        tag = f'"{version}-{METADATA_FORMAT}-{other:08x}"'
        # Parts of XML stand between boundaries drawn by lot: the same, but not byte for byte.
        return tag if form == "json" else f"W/{tag}"


class Metadata:
    """Tells the metadata of instances, from what is kept or else from their headers."""

    def __init__(self, workers: RequestWorkers, cache: MetadataCache) -> None:
        self.cache = cache
        self._teller = Teller(workers)

    def find(self, content: StoreContent, path: InstancePath) -> MetadataFound:
        """Find the instances of a study or series, or the one.

        Raises
        ------
        NotFound
            If there is none.
        """
        if path.sop_instance_uid is not None:
            stored = find_instance(content, path)
            version = SeriesVersion(
                store_id=content.store_id,
                series_id=stored.series_id,
                changed_seq=stored.series_changed_seq,
                instance_count=1,
            )
            return MetadataFound(series=(version,), instance=stored)
        with content.database.read() as connection:
            series = list_series(connection, content.store_id, path)
        if not series:
            raise absent(path)
        return MetadataFound(series=tuple(series))

    def texts(
        self, content: StoreContent, found: MetadataFound, form: Form, dicom_web_url: str
    ) -> Generator[bytes]:
        """Give the instances' text in pieces, by series, then by SOP Instance UID.

        JSON objects with commas between them, or XML documents each after a ``PART_MARK``. What is
        deleted meanwhile is left out.

        Raises
        ------
        DataLoss, ResourceExhausted, Unavailable
            As ``Teller.blocks``.
        """
        url = _escaped(form, dicom_web_url)
        before = b""
        with closing(self._blocks(content, found, form, self._teller.count + 1)) as blocks:
            for block in blocks:
                for piece in decompress(block):
                    yield before + piece.replace(URL_MARK, url)
                    before = b""
                before = b"," if form == "json" else b""

    def keep(self, content: StoreContent, series_id: int) -> Generator[None]:
        """Keep the metadata of a series, step by step, each a slice that one worker tells."""
        with content.database.read() as connection:
            version = find_series(connection, content.store_id, series_id)
        if version is not None and not self.cache.has(version):
            found = MetadataFound(series=(version,))
            with closing(self._blocks(content, found, "json", ahead=1)) as blocks:
                for _ in blocks:
                    yield

    def _blocks(
        self, content: StoreContent, found: MetadataFound, form: Form, ahead: int
    ) -> Generator[bytes]:
        begun: deque[_Unit] = deque()
        writer: CacheWriter | None = None
        keeps = form == "json" and found.instance is None and self.cache.size_bytes > 0
        try:
            for unit in _drawn_ahead(self._units(content, found, form), begun, ahead):
                if isinstance(unit, CachedSeries):
                    with unit:
                        yield from unit.blocks()
                    continue
                if writer is None and keeps:
                    writer = self.cache.begin(unit.version)
                for block in self._teller.blocks(content, unit, form):
                    if writer is not None:
                        writer.add(block)
                    yield block
                if writer is not None and unit.is_last:
                    writer.commit(partial(_is_current, content, unit.version))
                    writer = None
        finally:
            if writer is not None:
                writer.abort()
            for left in begun:
                _give_up(left)

    def _units(self, content: StoreContent, found: MetadataFound, form: Form) -> Iterator[_Unit]:
        """Give what is kept of each series, else its slices, begun by workers."""
        own = found.count <= OWN_INSTANCES
        if found.instance is not None:
            yield self._begun(content, found.series[0], (found.instance,), form, own=own)
            return
        for version in found.series:
            kept = self.cache.open(version) if form == "json" else None
            if kept is not None:
                yield kept
                continue
            with content.database.read() as connection:
                now = find_series(connection, version.store_id, version.series_id)
                ids = list_instances_of_series(connection, version.series_id)
            if now is None:
                continue
            for instances, following in pairwise(chain(slices_of(content, ids), ((),))):
                slice_ = self._begun(content, now, instances, form, own=own)
                yield replace(slice_, is_last=not following)

    def _begun(
        self,
        content: StoreContent,
        version: SeriesVersion,
        instances: Instances,
        form: Form,
        *,
        own: bool,
    ) -> SeriesSlice:
        own = own and is_light(instances)
        return SeriesSlice(
            version=version,
            instances=instances,
            own=own,
            begun=None if own else self._teller.begin(content, instances, form),
        )


def _drawn_ahead(units: Iterator[_Unit], begun: deque[_Unit], ahead: int) -> Iterator[_Unit]:
    """Give units in order, each once so many are begun that follow it."""
    for unit in units:
        begun.append(unit)
        if len(begun) >= ahead:
            yield begun.popleft()
    while begun:
        yield begun.popleft()


def _give_up(unit: _Unit) -> None:
    if isinstance(unit, CachedSeries):
        unit.close()
    elif unit.begun is not None:
        unit.begun.cancel()


def _is_current(content: StoreContent, version: SeriesVersion) -> bool:
    try:
        with content.database.read() as connection:
            found = find_series(connection, version.store_id, version.series_id)
    except Unavailable:
        return False
    return found is not None and found.changed_seq == version.changed_seq


def _escaped(form: Form, url: str) -> bytes:
    return msgspec.json.encode(url)[1:-1] if form == "json" else html.escape(url).encode()
