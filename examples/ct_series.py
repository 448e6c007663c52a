"""A CT series drawn with pydicom: a ball of water in air."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SLICES = 60
SIDE = 512


def draw_ct_series() -> Iterator[FileDataset]:
    """Draw the slices of the ball, one after the other."""
    study, series = generate_uid(entropy_srcs=["study"]), generate_uid(entropy_srcs=["series"])
    for number in range(1, SLICES + 1):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["slice", str(number)])
        image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        image.SpecificCharacterSet = "ISO_IR 192"
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.PatientID, image.PatientName = "DEMO-1", "Demo^Ball"
        image.PatientBirthDate, image.PatientSex = "", "O"
        image.StudyDate, image.StudyTime, image.StudyID = "20260102", "101500", "1"
        image.AccessionNumber, image.ReferringPhysicianName = "A1", ""
        image.StudyDescription, image.SeriesDescription = "Ball of water", "Axial"
        image.Modality, image.SeriesNumber, image.InstanceNumber = "CT", 1, number
        image.ImagePositionPatient = [0, 0, number * 2]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.PixelSpacing, image.SliceThickness = [1, 1], 2
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.Rows = image.Columns = SIDE
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.PixelRepresentation = 0
        image.RescaleIntercept, image.RescaleSlope = -1024, 1
        image.PixelData = draw_slice(number)
        yield image


def draw_slice(number: int) -> bytes:
    """Draw one slice of the ball, row by row: 16-bit samples, little endian."""
    radius, middle = SIDE // 3, SIDE // 2
    air, water = (24).to_bytes(2, "little"), (1024).to_bytes(2, "little")
    height = (number - (SLICES + 1) / 2) * 2 * radius / SLICES
    rows: list[bytes] = []
    for row in range(SIDE):
        square = radius**2 - height**2 - (row - middle) ** 2
        half = int(square**0.5) if square > 0 else 0
        rows.append(air * (middle - half) + water * (2 * half) + air * (SIDE - middle - half))
    return b"".join(rows)
