"""Data sets that a server tells in DICOM JSON: as they come, as rows, or as pydicom's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pydicom

    from fileroom.client.rows import Row
    from fileroom.client.transport import Query, Transport
    from fileroom.client.values import JsonObject


class Matches:
    """What a search found, or the metadata of instances: DICOM JSON objects, one after another.

    Nothing is asked before the first is drawn, and whoever iterates again asks again. There is no
    length: ``list`` gives one.

    A search is read in pages of 1,000. Studies and series come in the order in which they were
    first stored, instances by series and then by SOP Instance UID, and each page begins where the
    last one ended by count: nothing is given twice or left out as long as the DICOM store stays as
    it is. What is stored meanwhile comes last, but an instance of an earlier series may shift one
    that was given to be given again; what is deleted meanwhile may hide as many others.

    Raises
    ------
    InvalidArgument
        While it is drawn, if the server knows no such search, or after 1,000,000 matches: it goes
        no further, and filters must narrow the search.

    Examples
    --------
    >>> for study in client.search_studies(dicom_store, {"ModalitiesInStudy": "CT"}).rows():
    ...     print(study["PatientName"], study["StudyDate"])

    References
    ----------
    PS3.18 10.6.1.5 (paging), F (DICOM JSON Model)
    """

    def __init__(self, draw: Callable[[], Iterator[JsonObject]]) -> None:
        self._draw = draw

    def __iter__(self) -> Iterator[JsonObject]:
        return self._draw()

    def rows(self) -> Iterator[Row]:
        """Give each as a flat ``dict`` of Python values: what ``pandas.DataFrame`` takes.

        A key is a keyword, or eight hexadecimal digits where the attribute is private, unknown or
        of a repeating group. Of one value it has that, of several a ``list``, of none ``None``:

        - numbers as ``int`` or ``float``; as ``str`` what is none, though it should be
        - PN as its alphabetic text, or its first other one
        - SQ as a ``list`` of such rows, even of one or none
        - bulk data as their URI, which ``Retrieval.bulk_data`` takes; inline ones as ``bytes``
        - all others as ``str``: dates, times and tags as DICOM has them
        """
        from fileroom.client.rows import to_row

        return map(to_row, self)

    def data_sets(self) -> Iterator[pydicom.Dataset]:
        """Give each as a pydicom data set, what is of group 0002 in its ``file_meta``.

        Bulk data, such as pixels, are without a value: ``rows`` has their URI. What is no number
        though its VR demands one is without a value too, with a warning.
        """
        from fileroom.client.data_sets import to_data_set

        return map(to_data_set, self)


def search(
    transport: Transport, path: str, query: Query, limit: int | None, offset: int
) -> Matches:
    """Give the matches of a search, of which nothing is asked yet."""
    return Matches(partial(transport.search, path, query=query, limit=limit, offset=offset))
