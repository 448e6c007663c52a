"""The DICOM JSON Model as pydicom data sets.

References
----------
PS3.18 F.2
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from warnings import warn

from pydicom import DataElement, Dataset
from pydicom.dataelem import empty_value_for_VR
from pydicom.dataset import FileMetaDataset

from fileroom.client.values import objects, text
from fileroom.errors import DataLoss

if TYPE_CHECKING:
    from fileroom.client.values import Json, JsonObject

_FILE_META: Final = "0002"
_TAG: Final = re.compile("[0-9A-Fa-f]{8}")
_VALUE_KEYS: Final = ("Value", "BulkDataURI", "InlineBinary")


def to_data_set(model: JsonObject) -> Dataset:
    """Give a data set; ``Matches.data_sets`` says how."""
    data_set = Dataset()
    data_set.file_meta = FileMetaDataset()
    for tag, element in model.items():
        place = data_set.file_meta if tag.startswith(_FILE_META) else data_set
        place.add(_element(tag, element))
    return data_set


def _item(model: JsonObject) -> Dataset:
    item = Dataset()
    for tag, element in model.items():
        item.add(_element(tag, element))
    return item


def _element(tag: str, element: Json) -> DataElement:
    vr = text(element, "vr") if isinstance(element, dict) else ""
    if not isinstance(element, dict) or not _TAG.fullmatch(tag) or not vr:
        raise DataLoss(f"{tag[:20]!r} of the answer is no element of the DICOM JSON Model")
    number = int(tag, 16)
    if vr == "SQ":
        return DataElement(number, vr, list(map(_item, objects(element, "Value"))))
    key = next((key for key in _VALUE_KEYS if key in element), None)
    value = element[key] if key else None
    try:
        return DataElement.from_json(Dataset, tag, vr, value, key, _without_bulk_data)
    except (ValueError, TypeError, OverflowError):
        # pydicom has no place for such a value, and one element must not hide the others.
        # The value itself, which the error may quote, is a patient's.
        warn(f"{tag} is left without a value: it is none of {vr}", stacklevel=2)
        return DataElement(number, vr, empty_value_for_VR(vr))


def _without_bulk_data(_: str, vr: str, __: str) -> str | bytes | None:
    empty = empty_value_for_VR(vr)
    return empty if isinstance(empty, str | bytes) else None
