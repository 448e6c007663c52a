"""Facts about the installation, and the dictionaries that its headers need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete

from fileroom.database import schema
from fileroom.database.header_dictionaries import keep_header_dictionary, read_header_dictionary
from fileroom.database.meta import find_meta, insert_meta
from fileroom.dicom.header import CURRENT_DICTIONARY_ID, header_dictionary
from fileroom.errors import DataLoss

if TYPE_CHECKING:
    from fileroom.database.engine import Connection


def test_fact_is_found_by_its_key(transaction: Connection) -> None:
    assert find_meta(transaction, "key") is None
    insert_meta(transaction, "key", "value")

    assert find_meta(transaction, "key") == "value"


def test_dictionary_in_use_is_kept_once(transaction: Connection) -> None:
    keep_header_dictionary(transaction)
    keep_header_dictionary(transaction)

    kept = read_header_dictionary(transaction, CURRENT_DICTIONARY_ID)
    assert kept == header_dictionary(CURRENT_DICTIONARY_ID)


def test_missing_dictionary_is_told(transaction: Connection) -> None:
    keep_header_dictionary(transaction)
    transaction.execute(delete(schema.header_dicts))

    with pytest.raises(DataLoss, match="dictionary 1 is missing"):
        read_header_dictionary(transaction, 1)
