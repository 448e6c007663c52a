"""Where the frames of an instance lie, so that each is one ranged read of the untouched file.

Native frames are found by arithmetic. Encapsulated ones are found by the headers of their
fragments and kept as a table, in chunks of 65,536 frames.
"""

from fileroom.dicom.frames.encapsulated import (
    FragmentedFrame,
    check_has_frames,
    frame_lengths,
    single_frame,
    told_lengths,
)
from fileroom.dicom.frames.errors import NoPixelData
from fileroom.dicom.frames.native import NativeFrame, NativeFrames, find_frames
from fileroom.dicom.frames.pieces import Read
from fileroom.dicom.frames.table import (
    FRAMES_IN_CHUNK,
    TableChunk,
    chunk_of,
    decode_chunk,
    encode_table,
)

__all__ = [
    "FRAMES_IN_CHUNK",
    "FragmentedFrame",
    "NativeFrame",
    "NativeFrames",
    "NoPixelData",
    "Read",
    "TableChunk",
    "check_has_frames",
    "chunk_of",
    "decode_chunk",
    "encode_table",
    "find_frames",
    "frame_lengths",
    "single_frame",
    "told_lengths",
]
