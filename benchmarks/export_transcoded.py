"""Durable export in another transfer syntax, beside programs that convert file by file.

The programs are started anew for each file, as many at a time as there are cores, and what they
have written is synced at the end.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.files import make_ct, size_bytes
from benchmarks.measure import Goal, Result, Side, Work, measure
from benchmarks.sides import convert, running_fileroom

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
JPEG_LS: Final = "1.2.840.10008.1.2.4.80"
JPEG_2000: Final = "1.2.840.10008.1.2.4.90"
GOAL: Final = Goal(at_least=1.0, aim=2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peer:
    """A program that converts one file into another."""

    command: Sequence[str]
    package: str

    @property
    def name(self) -> str:
        return " ".join(self.command)


def export_to_jpeg_2000(directory: Path, instances: int, rounds: int) -> Result:
    """Compress CT slices of 529 KB in JPEG 2000, without loss."""
    peer = _Peer(command=("gdcmconv", "--j2k"), package="gdcm")
    return _compress(directory, instances, rounds, "JPEG 2000 lossless", JPEG_2000, peer)


def export_to_jpeg_ls(directory: Path, instances: int, rounds: int) -> Result:
    """Compress CT slices of 529 KB in JPEG-LS, without loss."""
    peer = _Peer(command=("dcmcjpls",), package="dcmtk")
    return _compress(directory, instances, rounds, "JPEG-LS lossless", JPEG_LS, peer)


def export_from_jpeg_2000(directory: Path, instances: int, rounds: int) -> Result:
    """Decompress CT slices that are stored in JPEG 2000."""
    peer = _Peer(command=("gdcmconv", "--raw"), package="gdcm")
    return _decompress(directory, instances, rounds, "JPEG 2000 lossless", JPEG_2000, peer)


def export_from_jpeg_ls(directory: Path, instances: int, rounds: int) -> Result:
    """Decompress CT slices that are stored in JPEG-LS."""
    peer = _Peer(command=("dcmdjpls",), package="dcmtk")
    return _decompress(directory, instances, rounds, "JPEG-LS lossless", JPEG_LS, peer)


def _compress(
    directory: Path, instances: int, rounds: int, what: str, syntax: str, peer: _Peer
) -> Result:
    source = directory / "source"
    work = Work(
        title=f"durable export of CT as {what}",
        instances=instances,
        size_bytes=make_ct(source, instances),
        goals={peer.name: GOAL},
    )
    with running_fileroom(directory, source) as fileroom:
        fileroom.import_("store", instances)
        side = Side(
            name="Fileroom",
            run=lambda _: fileroom.transcode("store", instances, syntax, "exported"),
        )
        return _measured(work, side, peer, source, rounds, directory)


def _decompress(
    directory: Path, instances: int, rounds: int, what: str, syntax: str, peer: _Peer
) -> Result:
    source = directory / "source"
    make_ct(source, instances)
    with running_fileroom(directory, source) as fileroom:
        fileroom.import_("native", instances)
        fileroom.transcode("native", instances, syntax, "compressed")
        fileroom.import_("store", instances, "destination/compressed/**")
        compressed = fileroom.destination / "compressed"
        work = Work(
            title=f"durable export of {what} CT, decompressed",
            instances=instances,
            size_bytes=size_bytes(compressed),
            goals={peer.name: GOAL},
        )
        side = Side(
            name="Fileroom",
            run=lambda _: fileroom.transcode(
                "store", instances, EXPLICIT_VR_LITTLE_ENDIAN, "exported"
            ),
        )
        return _measured(work, side, peer, compressed, rounds, directory)


def _measured(
    work: Work, fileroom: Side, peer: _Peer, source: Path, rounds: int, directory: Path
) -> Result:
    if shutil.which(peer.command[0]) is None:
        absent = {peer.name: f"{peer.command[0]} is not installed (package {peer.package})"}
        return measure(work, [fileroom], rounds=rounds, absent=absent, directory=directory)
    other = Side(
        name=peer.name, run=lambda _: convert(peer.command, source, directory / "converted")
    )
    return measure(work, [fileroom, other], rounds=rounds, absent={}, directory=directory)
