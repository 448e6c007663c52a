"""The header of an instance: every element of the file, large values cut out.

The skeleton is the file without its preamble and without the cut values: putting each value back
at its position gives the file's bytes from offset 132 on, up to padding after the last element
(for a deflated data set: the file meta information, then the inflated stream).

Encapsulated pixel data are one cut, from the first item (the basic offset table) up to the
sequence delimiter, which stays in the skeleton.
"""

from fileroom.dicom.header.codec import (
    CURRENT_DICTIONARY_ID,
    decode_header,
    encode_header,
    header_dictionary,
    header_size,
    serialize_header,
)
from fileroom.dicom.header.reading import (
    big_endian,
    data_set_start,
    elements,
    extents,
    file_meta,
    find_elements,
)
from fileroom.dicom.header.values import ByteSource, Cut, Element, Fragments, Header

__all__ = [
    "CURRENT_DICTIONARY_ID",
    "ByteSource",
    "Cut",
    "Element",
    "Fragments",
    "Header",
    "big_endian",
    "data_set_start",
    "decode_header",
    "elements",
    "encode_header",
    "extents",
    "file_meta",
    "find_elements",
    "header_dictionary",
    "header_size",
    "serialize_header",
]
