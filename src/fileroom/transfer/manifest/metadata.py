"""The metadata of what was exported, a row for each instance, for a Parquet file.

Such a file is read by DuckDB, pandas, Spark and BigQuery; the column ``Metadata`` has the DICOM
JSON model, as a retrieval of metadata gives it.

References
----------
PS3.18 F.2. A BulkDataURI is relative to the store's ``…/dicomWeb/`` (RFC 3986, 4.2).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fileroom.archive.metadata.slices import URL_MARK, decompress
from fileroom.archive.metadata.telling import InstanceSlice, slices_of
from fileroom.database import exports
from fileroom.errors import DataLoss, ResourceExhausted
from fileroom.names import InstancePath, Uid
from fileroom.transfer.changing.rewriting import open_content

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fileroom.archive.metadata.telling import Instances
    from fileroom.database.operations import Operation
    from fileroom.transfer.facilities import Facilities
    from fileroom.transfer.ledger import LedgerLine

METADATA_COLUMNS: Final[dict[str, type]] = {
    "StudyInstanceUID": str,
    "SeriesInstanceUID": str,
    "SOPInstanceUID": str,
    "Metadata": str,
}
_LOOKED_UP_AT_A_TIME: Final = 250


class _Value(msgspec.Struct):
    values: list[str] = msgspec.field(name="Value", default_factory=lambda: [""])


class _Uids(msgspec.Struct):
    study: _Value = msgspec.field(name="0020000D", default_factory=_Value)
    series: _Value = msgspec.field(name="0020000E", default_factory=_Value)
    instance: _Value = msgspec.field(name="00080018", default_factory=_Value)


class MetadataRows:
    """Gives rows of what an export wrote, told by workers some slices ahead."""

    def __init__(self, facilities: Facilities, progress: Operation) -> None:
        self._content = open_content(facilities, progress)
        self._teller = facilities.teller
        self.untold = 0
        """Instances whose metadata no worker could tell; they have a row without them."""

    def rows(self, lines: Sequence[LedgerLine]) -> Iterator[list[dict[str, Any]]]:
        """Give a row of each instance that these lines name and that is still stored."""
        begun: deque[InstanceSlice] = deque()
        for instances in self._slices(lines):
            future = self._teller.begin(self._content, instances, "json")
            begun.append(InstanceSlice(instances=instances, begun=future))
            if len(begun) > self._teller.count:
                yield from self._told(begun.popleft())
        while begun:
            yield from self._told(begun.popleft())

    def _slices(self, lines: Sequence[LedgerLine]) -> Iterator[Instances]:
        named = [line.instance for line in lines if line.destination and line.instance]
        for at in range(0, len(named), _LOOKED_UP_AT_A_TIME):
            with self._content.database.read() as connection:
                found = [
                    exports.find_instance(
                        connection, self._content.store_id, InstancePath(*map(Uid, uids))
                    )
                    for uids in named[at : at + _LOOKED_UP_AT_A_TIME]
                ]
            yield from slices_of(self._content, [each.id for each in found if each is not None])

    def _told(self, asked: InstanceSlice) -> Iterator[list[dict[str, Any]]]:
        try:
            blocks = list(self._teller.blocks(self._content, asked, "json"))
        except (DataLoss, ResourceExhausted):
            if len(asked.instances) > 1:
                for instance in asked.instances:
                    yield from self._told(InstanceSlice(instances=(instance,)))
                return
            self.untold += 1
            path = asked.instances[0].path
            yield [
                {
                    "StudyInstanceUID": path.study_instance_uid,
                    "SeriesInstanceUID": path.series_instance_uid,
                    "SOPInstanceUID": path.sop_instance_uid,
                }
            ]
            return
        for block in blocks:
            yield list(map(_row, _each(block)))


def _each(block: bytes) -> list[msgspec.Raw]:
    text = b"".join(decompress(block)).replace(URL_MARK + b"/", b"")
    return msgspec.json.decode(b"[" + text + b"]", type=list[msgspec.Raw])


def _row(model: msgspec.Raw) -> dict[str, Any]:
    uids = msgspec.json.decode(model, type=_Uids)
    return {
        "StudyInstanceUID": uids.study.values[0],
        "SeriesInstanceUID": uids.series.values[0],
        "SOPInstanceUID": uids.instance.values[0],
        "Metadata": bytes(model).decode(),
    }
