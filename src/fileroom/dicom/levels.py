"""What is searched for and told at each of the three levels.

The keys, fields and limits are those of the Cloud Healthcare conformance statement, QIDO-RS.
``extended_keys`` are ours: columns that stand beside those of the documented keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Level(StrEnum):
    """What one result describes."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRules:
    """The search of one level."""

    keys: tuple[str, ...]
    """Match keys of this level alone, its UID first; those of the levels above count as well."""
    extended_keys: tuple[str, ...]
    extended_fields: tuple[str, ...]
    """What PS3.18 10.6.3 tells by default beside ``fields``."""
    fields: tuple[str, ...]
    all_fields: tuple[str, ...]
    """What ``includefield=all`` adds."""
    unsupported: str
    limit_default: int
    limit_max: int


LEVELS: Final = (Level.STUDY, Level.SERIES, Level.INSTANCE)
RULES: Final[Mapping[Level, LevelRules]] = {
    Level.STUDY: LevelRules(
        keys=(
            "StudyInstanceUID",
            "PatientName",
            "PatientID",
            "AccessionNumber",
            "ReferringPhysicianName",
            "StudyDate",
        ),
        extended_keys=(
            "StudyID",
            "StudyTime",
            "StudyDescription",
            "ModalitiesInStudy",
            "PatientBirthDate",
            "PatientSex",
        ),
        extended_fields=(
            "ModalitiesInStudy",
            "NumberOfStudyRelatedSeries",
            "NumberOfStudyRelatedInstances",
        ),
        fields=(
            "SpecificCharacterSet",
            "StudyDate",
            "StudyTime",
            "AccessionNumber",
            "InstanceAvailability",
            "ReferringPhysicianName",
            "TimezoneOffsetFromUTC",
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "StudyInstanceUID",
            "StudyID",
        ),
        all_fields=(
            "StudyDescription",
            "InstitutionName",
            "InstitutionAddress",
            "InstitutionCodeSequence",
            "PersonIdentificationCodeSequence",
            "PersonAddress",
            "PersonTelephoneNumbers",
            "PersonTelecomInformation",
            "ReferringPhysicianIdentificationSequence",
            "ConsultingPhysicianName",
            "ConsultingPhysicianIdentificationSequence",
            "IssuerOfAccessionNumberSequence",
            "LocalNamespaceEntityID",
            "UniversalEntityID",
            "UniversalEntityIDType",
            "PhysiciansOfRecord",
            "PhysiciansOfRecordIdentificationSequence",
            "NameOfPhysiciansReadingStudy",
            "PhysiciansReadingStudyIdentificationSequence",
            "RequestingServiceCodeSequence",
            "ReferencedStudySequence",
            "ProcedureCodeSequence",
            "ReasonForPerformedProcedureCodeSequence",
        ),
        unsupported="study",
        limit_default=100,
        limit_max=5_000,
    ),
    Level.SERIES: LevelRules(
        keys=("SeriesInstanceUID", "Modality"),
        extended_keys=("SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime"),
        extended_fields=("SeriesNumber", "NumberOfSeriesRelatedInstances"),
        fields=(
            "SpecificCharacterSet",
            "Modality",
            "TimezoneOffsetFromUTC",
            "SeriesDescription",
            "SeriesInstanceUID",
            "PerformedProcedureStepStartDate",
            "PerformedProcedureStepStartTime",
            "RequestAttributesSequence",
        ),
        all_fields=("SeriesNumber", "Laterality", "SeriesDate", "SeriesTime"),
        unsupported="series or study",
        limit_default=100,
        limit_max=5_000,
    ),
    Level.INSTANCE: LevelRules(
        keys=("SOPInstanceUID",),
        extended_keys=(
            "SOPClassUID",
            "InstanceNumber",
            "NumberOfFrames",
            "Rows",
            "Columns",
            "AvailableTransferSyntaxUID",
        ),
        extended_fields=(),
        fields=(
            "SpecificCharacterSet",
            "SOPClassUID",
            "SOPInstanceUID",
            "InstanceAvailability",
            "TimezoneOffsetFromUTC",
            "InstanceNumber",
            "Rows",
            "Columns",
            "BitsAllocated",
            "NumberOfFrames",
        ),
        all_fields=(),
        # Observed against the real service: "SOPClassUID is not a supported instance or study or
        # series level attribute", "StudyDescription is not a supported study level attribute".
        unsupported="instance or study or series",
        limit_default=1_000,
        limit_max=50_000,
    ),
}
