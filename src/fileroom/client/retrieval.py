"""What one DICOM store gives of its instances: files, frames, pictures and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from fileroom.client.matches import Matches
from fileroom.client.transport import CHUNK_BYTES
from fileroom.errors import DataLoss, InvalidArgument
from fileroom.names import InstancePath, parse_instance_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fileroom.client.pixels import Samples
    from fileroom.client.transport import Transport

_HEAD_BYTES_MAX: Final = 16 << 10
"""What may stand between two parts."""
_OCTETS: Final = "application/octet-stream"
_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"


class Retrieval:
    """Retrieves from one DICOM store; ``Client.retrieval`` gives it.

    A study, series or instance is named by its path, ``studies/UID[/series/UID[/instances/UID]]``.

    References
    ----------
    PS3.18 10.4
    """

    def __init__(self, transport: Transport, web: str) -> None:
        self._transport = transport
        self._web = web

    def instances(self, path: InstancePath | str, *, transfer_syntax: str = "*") -> Iterator[bytes]:
        """Give the DICOM files of a study, a series or an instance, one after another.

        ``*`` gives each as it was stored. One file is in memory at a time.

        Raises
        ------
        DataLoss
            If the answer ends before its last part: what was given is not all.
        """
        accept = f'multipart/related; type="application/dicom"; transfer-syntax={transfer_syntax}'
        yield from self._parts(str(_instance_path(path)), accept)

    def file_pieces(self, instance: InstancePath | str, transfer_syntax: str) -> Iterator[bytes]:
        """Give one instance's DICOM file piece by piece as it arrives."""
        path = self._instance(instance)
        accept = f"application/dicom; transfer-syntax={transfer_syntax}"
        with self._transport.open("GET", path, accept=accept) as response:
            yield from response.iter_bytes(CHUNK_BYTES)

    def frames(
        self,
        instance: InstancePath | str,
        numbers: Sequence[int],
        *,
        media_type: str = _OCTETS,
        transfer_syntax: str | None = None,
    ) -> list[bytes]:
        """Give frames, counted from 1, in the order asked for.

        Without a transfer syntax octets are uncompressed; ``*`` gives them as they are stored.
        """
        return list(self._frames(instance, numbers, media_type, transfer_syntax))

    def metadata(self, path: InstancePath | str) -> Matches:
        """Give the metadata of each instance of a study, a series or an instance.

        They come in one answer, which is in memory as a whole.

        References
        ----------
        PS3.18 10.4.1.1.2
        """
        whole = f"{self._web}/{_instance_path(path)}/metadata"
        return Matches(lambda: iter(self._transport.data_sets(whole)[0]))

    def pixels(self, instance: InstancePath | str, numbers: Sequence[int] | None = None) -> Samples:
        """Give frames, counted from 1, in the order asked for, as one array; all without numbers.

        Its shape is ``(frames, rows, columns)``, or ``(frames, rows, columns, samples)`` where a
        pixel has several, whatever Planar Configuration is. Its type is that of Bits Allocated and
        Pixel Representation, or ``float32`` and ``float64`` of Float and Double Float Pixel Data.

        Values are stored values, in the bits that Bits Stored counts: no rescale, LUT, window or
        palette is applied. Samples of one bit are 0 and 1. Of colour, what is stored compressed
        comes as its codec gives it, so that Photometric Interpretation of the array is

        ============================================  =======================================
        of the metadata                               of the array
        ============================================  =======================================
        any, in JPEG 4.50, 4.51, JPEG XL 4.111, .112  RGB
        YBR_RCT, YBR_ICT, XYB                         RGB
        YBR_FULL_422                                  YBR_FULL, chrominance at full width
        any other                                     the same
        ============================================  =======================================

        The transfer syntax stands in the metadata as Transfer Syntax UID. Beside the array one
        frame is in memory at a time.

        Raises
        ------
        InvalidArgument
            If the metadata do not say how large a frame is, or there are no pixels; also if the
            server cannot decode them.
        DataLoss
            If a frame has another size than the metadata say.
        ResourceExhausted
            If there is no memory for all of them.

        References
        ----------
        PS3.3 C.7.6.3.1 (Image Pixel), PS3.5 8.1.1 (native encoding)
        """
        from fileroom.client.pixels import FRAMES_OF_REQUEST, parse_layout

        self._instance(instance)
        layout = parse_layout(next(iter(self.metadata(instance)), {}))
        asked = range(1, layout.number_of_frames + 1) if numbers is None else numbers
        slices = (
            asked[start : start + FRAMES_OF_REQUEST]
            for start in range(0, len(asked), FRAMES_OF_REQUEST)
        )
        frames = (
            frame
            for each in slices
            for frame in self._frames(instance, each, _OCTETS, _EXPLICIT_VR_LITTLE_ENDIAN)
        )
        return layout.array(frames, len(asked))

    def rendered(
        self,
        instance: InstancePath | str,
        frame: int | None = None,
        *,
        media_type: Literal["image/jpeg", "image/png"] = "image/jpeg",
        viewport: str | None = None,
        window: str | None = None,
        quality: int | None = None,
    ) -> bytes:
        """Give an instance, or one of its frames, as a picture; texts are as in PS3.18 8.3.5."""
        path = self._instance(instance) + ("" if frame is None else f"/frames/{frame}")
        options = {"viewport": viewport, "window": window, "quality": quality}
        query = [(name, str(value)) for name, value in options.items() if value is not None]
        with self._transport.open(
            "GET", f"{path}/rendered", query=query, accept=media_type
        ) as response:
            return response.read()

    def bulk_data(self, uri: str) -> bytes:
        """Give the value that a ``BulkDataURI`` of the store's metadata names.

        Also one below its ``dicomWeb``: ``studies/…/bulkdata/7FE00010``.
        """
        before, found, below = uri.rpartition("/dicomWeb/")
        if found and not f"{before}{found}".endswith(f"/{self._web}/"):
            raise InvalidArgument(f"{uri[:200]} is no URI of {self._web}", "uri")
        accept = "application/octet-stream; transfer-syntax=*"
        with self._transport.open("GET", f"{self._web}/{below}", accept=accept) as response:
            return response.read()

    def _instance(self, instance: InstancePath | str) -> str:
        path = _instance_path(instance)
        if path.sop_instance_uid is None:
            raise InvalidArgument(f"{path} is no instance; add /series/UID/instances/UID", "path")
        return f"{self._web}/{path}"

    def _frames(
        self,
        instance: InstancePath | str,
        numbers: Sequence[int],
        media_type: str,
        transfer_syntax: str | None,
    ) -> Iterator[bytes]:
        wish = "" if transfer_syntax is None else f"; transfer-syntax={transfer_syntax}"
        path = f"{_instance_path(instance)}/frames/{','.join(map(str, numbers))}"
        return self._parts(path, f'multipart/related; type="{media_type}"{wish}')

    def _parts(self, path: str, accept: str) -> Iterator[bytes]:
        with self._transport.open("GET", f"{self._web}/{path}", accept=accept) as response:
            _, _, boundary = response.headers["Content-Type"].partition("boundary=")
            pieces = response.iter_bytes(CHUNK_BYTES)
            yield from parts(pieces, boundary.partition(";")[0].strip('" '))


def parts(pieces: Iterable[bytes], boundary: str) -> Iterator[bytes]:
    """Give the bodies of a multipart answer's parts, each once it is whole (RFC 2046 5.1.1).

    Raises
    ------
    DataLoss
        If the answer is none, or ends early.
    """
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    held = bytearray(b"\r\n")  # the first delimiter begins the body
    sought = 0
    in_part = False
    for piece in pieces:
        held += piece
        while (at := held.find(delimiter, sought)) >= 0:
            if len(held) < at + len(delimiter) + 2:
                break  # what follows tells whether it is the last
            if in_part:
                yield _body(held[:at])
            in_part = True
            is_last = held.startswith(b"--", at + len(delimiter))
            del held[: at + len(delimiter)]
            sought = 0
            if is_last:
                return
        sought = max(sought, len(held) - len(delimiter) - 2)
    raise DataLoss("the answer ended before its last part; see the server's log")


def _body(part: bytearray) -> bytes:
    at = part.find(b"\r\n\r\n", 0, _HEAD_BYTES_MAX)
    if at < 0:
        raise DataLoss("a part of the answer has no header; is it a Fileroom server?")
    return bytes(part[at + 4 :])


def _instance_path(path: InstancePath | str) -> InstancePath:
    return parse_instance_path(path) if isinstance(path, str) else path
