"""The dictionaries that stored headers were compressed with, kept for as long as the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from fileroom.database.schema import header_dicts
from fileroom.dicom.header import CURRENT_DICTIONARY_ID, header_dictionary
from fileroom.errors import DataLoss

if TYPE_CHECKING:
    from fileroom.database.engine import Connection


def keep_header_dictionary(transaction: Connection) -> None:
    """Copy the dictionary in use into the database, where its headers are."""
    known = transaction.execute(
        select(header_dicts.c.id).where(header_dicts.c.id == CURRENT_DICTIONARY_ID)
    ).scalar()
    if known is None:
        transaction.execute(
            insert(header_dicts).values(
                id=CURRENT_DICTIONARY_ID, bytes=header_dictionary(CURRENT_DICTIONARY_ID)
            )
        )


def read_header_dictionary(connection: Connection, dictionary_id: int) -> bytes:
    """Give a dictionary.

    Raises
    ------
    DataLoss
        If the database does not hold it; the headers are then cut from the blobs again.
    """
    content: bytes | None = connection.execute(
        select(header_dicts.c.bytes).where(header_dicts.c.id == dictionary_id)
    ).scalar()
    if content is None:
        raise DataLoss(f"header dictionary {dictionary_id} is missing", "header_dicts")
    return content
