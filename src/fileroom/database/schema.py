"""The tables, for SQLite and PostgreSQL alike.

Keys compare by their bytes in both dialects (``COLLATE "C"``), so that pages, cursors and exports
have one order. Times are microseconds since 1970 in UTC. What a row means for another row:

- an instance row exists only while its blob is durable (I1), and names the blob's place itself;
- counts and bytes live on ``series`` only; a study's and a store's are sums;
- ``operations.next_ordinal`` and ``cursor`` move only in the transaction of the rows they count.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    DDL,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

REVISION: Final = "0010"
"""The Alembic revision this code works with."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Key = Text().with_variant(Text(collation="C"), "postgresql")
_Id = BigInteger().with_variant(Integer(), "sqlite")
_Time = BigInteger()
_Json = JSON(none_as_null=True)

meta = Table(
    "meta",
    metadata,
    Column("key", _Key, primary_key=True),
    Column("value", Text, nullable=False),
)

header_dicts = Table(
    "header_dicts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("bytes", LargeBinary, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("project", _Key, nullable=False),
    Column("location", _Key, nullable=False),
    Column("dataset_id", _Key, nullable=False),
    Column("time_zone", Text),
    Column("encryption", Text),
    Column("policy", _Json),
    Column("etag", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("deleted_at", _Time),
    Index(
        "uq_datasets_living",
        "project",
        "location",
        "dataset_id",
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
)

dicom_stores = Table(
    "dicom_stores",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("dataset_id", _Id, ForeignKey("datasets.id"), nullable=False),
    Column("dicom_store_id", _Key, nullable=False),
    Column("config", _Json, nullable=False),
    Column("policy", _Json),
    Column("etag", Text, nullable=False),
    Column("blob_prefix", _Key, nullable=False, unique=True),
    Column("change_seq", BigInteger, nullable=False, server_default="0"),
    Column("created_at", _Time, nullable=False),
    Column("deleted_at", _Time),
    Index(
        "uq_dicom_stores_living",
        "dataset_id",
        "dicom_store_id",
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index("ix_dicom_stores_deleted_at", "deleted_at"),
    sqlite_autoincrement=True,  # an id is part of blob names and cursors: never used twice
)

studies = Table(
    "studies",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("store_id", _Id, ForeignKey("dicom_stores.id"), nullable=False),
    Column("study_instance_uid", _Key, nullable=False),
    Column("state", Text, nullable=False, server_default="LIVING"),
    Column("described_by", _Id),
    Column("patient_id", _Key),
    Column("patient_name", _Key),
    Column("patient_name_key", _Key),
    Column("patient_birth_date", _Key),
    Column("patient_sex", _Key),
    Column("study_date", _Key),
    Column("study_time", _Key),
    Column("accession_number", _Key),
    Column("referring_physician_name", _Key),
    Column("referring_physician_name_key", _Key),
    Column("study_id", _Key),
    Column("study_description", _Key),
    UniqueConstraint("store_id", "study_instance_uid"),
    Index("ix_studies_store", "store_id", "id"),
    Index("ix_studies_study_date", "store_id", "study_date", "id"),
    Index("ix_studies_patient_id", "store_id", "patient_id", "id"),
    Index("ix_studies_patient_name", "store_id", "patient_name", "id"),
    Index("ix_studies_patient_name_key", "store_id", "patient_name_key", "id"),
    Index("ix_studies_accession_number", "store_id", "accession_number", "id"),
    Index("ix_studies_referring", "store_id", "referring_physician_name", "id"),
    CheckConstraint("state IN ('LIVING', 'DELETING')", name="state"),
)

series = Table(
    "series",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("store_id", _Id, nullable=False),
    Column("study_id", _Id, ForeignKey("studies.id"), nullable=False),
    Column("series_instance_uid", _Key, nullable=False),
    Column("state", Text, nullable=False, server_default="LIVING"),
    Column("described_by", _Id),
    Column("modality", _Key),
    Column("series_number", BigInteger),
    Column("series_description", _Key),
    Column("series_date", _Key),
    Column("series_time", _Key),
    Column("instance_count", BigInteger, nullable=False, server_default="0"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("changed_seq", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("study_id", "series_instance_uid"),
    Index("ix_series_store", "store_id", "id"),
    Index("ix_series_study", "study_id", "id"),
    Index("ix_series_uid", "store_id", "series_instance_uid"),
    Index("ix_series_modality", "store_id", "modality", "id"),
    CheckConstraint("state IN ('LIVING', 'DELETING')", name="state"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("store_id", _Id, nullable=False),
    Column("series_id", _Id, ForeignKey("series.id"), nullable=False),
    Column("sop_instance_uid", _Key, nullable=False),
    Column("sop_class_uid", _Key, nullable=False),
    Column("instance_number", BigInteger),
    Column("transfer_syntax_uid", _Key, nullable=False),
    Column("specific_character_set", Text),
    Column("timezone_offset_from_utc", Text),
    Column("rows", Integer),
    Column("columns", Integer),
    Column("bits_allocated", Integer),
    Column("number_of_frames", BigInteger),
    Column("frames_known", Text, nullable=False),
    Column("created_seq", BigInteger, nullable=False),
    Column("changed_seq", BigInteger, nullable=False),
    Column("operation_id", _Id),
    Column("stored_at", _Time, nullable=False),
    Column("storage_class", Text, nullable=False, server_default="STANDARD"),
    Column("storage_class_updated_at", _Time),
    Column("place", SmallInteger, nullable=False),
    Column("place_key", _Key, nullable=False),
    Column("place_offset", BigInteger, nullable=False, server_default="0"),
    Column("size", BigInteger, nullable=False),
    Column("place_version", Text),
    Column("sha256", LargeBinary),
    Column("md5", LargeBinary),
    Column("crc32c", LargeBinary),
    UniqueConstraint("series_id", "sop_instance_uid"),
    Index("ix_instances_uid", "store_id", "sop_instance_uid"),
    Index("ix_instances_changed", "store_id", "changed_seq"),
    CheckConstraint("place IN (0, 1, 2)", name="place"),
    CheckConstraint("frames_known IN ('NATIVE', 'TABLE', 'UNKNOWN')", name="frames_known"),
    sqlite_autoincrement=True,  # an id is part of blob names and cursors: never used twice
)

headers = Table(
    "headers",
    metadata,
    Column(
        "instance_id",
        _Id,
        ForeignKey("instances.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("dict", Integer, nullable=False),
    Column("z", LargeBinary, nullable=False),
)

frame_tables = Table(
    "frame_tables",
    metadata,
    Column(
        "instance_id",
        _Id,
        ForeignKey("instances.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("chunk", Integer, primary_key=True, autoincrement=False),
    Column("z", LargeBinary, nullable=False),
)

extra_attributes = Table(
    "extra_attributes",
    metadata,
    Column("store_id", _Id, primary_key=True, autoincrement=False),
    Column("path", _Key, primary_key=True),
    Column("value_key", _Key, primary_key=True),
    Column(
        "instance_id",
        _Id,
        ForeignKey("instances.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Index("ix_extra_attributes_instance", "instance_id"),
)

indexed_attributes = Table(
    "indexed_attributes",
    metadata,
    Column("store_id", _Id, primary_key=True, autoincrement=False),
    Column("path", _Key, primary_key=True),
    Column("state", Text, nullable=False, server_default="FILLING"),
    Column("seq", BigInteger, nullable=False, server_default="-1"),
    Column("instance_id", _Id, nullable=False, server_default="0"),
    Column("filled", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("state IN ('FILLING', 'READY', 'LEAVING')", name="state"),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("store_id", _Id, nullable=False),
    Column("study_instance_uid", _Key, nullable=False),
    Column("series_instance_uid", _Key),
    Column("sop_instance_uid", _Key),
    Column("seq", BigInteger, nullable=False),
    Index("ix_tombstones_study", "store_id", "study_instance_uid"),
)

blob_drops = Table(
    "blob_drops",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("store_id", _Id, nullable=False),
    Column("place", SmallInteger, nullable=False),
    Column("place_key", _Key, nullable=False),
    Column("place_offset", BigInteger, nullable=False, server_default="0"),
    Column("size", BigInteger, nullable=False, server_default="0"),
    Column("study_instance_uid", _Key, nullable=False),
    Column("series_instance_uid", _Key, nullable=False),
    Column("sop_instance_uid", _Key, nullable=False),
    Column("not_before", _Time, nullable=False),
    Column("state", Text, nullable=False, server_default="QUEUED"),
    Column("mark", _Key),
    Column("replaced_by", _Id),
    Column("sha256", LargeBinary),
    UniqueConstraint("store_id", "place_key", "place_offset"),
    Index("ix_blob_drops_due", "state", "not_before"),
    Index("ix_blob_drops_mark", "mark"),
    Index(
        "ix_blob_drops_replaced",
        "replaced_by",
        "sop_instance_uid",
        sqlite_where=text("replaced_by IS NOT NULL"),
        postgresql_where=text("replaced_by IS NOT NULL"),
    ),
    CheckConstraint("state IN ('QUEUED', 'DROPPING')", name="state"),
)

damaged_places = Table(
    "damaged_places",
    metadata,
    Column("store_id", _Id, primary_key=True, autoincrement=False),
    Column("place_key", _Key, primary_key=True),
    Column("place_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("found_at", _Time, nullable=False),
)

operations = Table(
    "operations",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("dataset_id", _Id, ForeignKey("datasets.id"), nullable=False),
    Column("operation_id", _Key, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("api_version", Text, nullable=False),
    Column("store_id", _Id),
    Column("request", _Json, nullable=False),
    Column("state", Text, nullable=False),
    Column("paused_why", Text),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("FALSE")),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("start_seq", BigInteger),
    Column("owner", Text),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("lease_until", _Time),
    Column("heartbeat_at", _Time),
    Column("cursor", Text),
    Column("next_ordinal", BigInteger, nullable=False, server_default="0"),
    Column("total", BigInteger),
    Column("listed", BigInteger, nullable=False, server_default="0"),
    Column("imported", BigInteger, nullable=False, server_default="0"),
    Column("identical", BigInteger, nullable=False, server_default="0"),
    Column("kept", BigInteger, nullable=False, server_default="0"),
    Column("replaced", BigInteger, nullable=False, server_default="0"),
    Column("exported", BigInteger, nullable=False, server_default="0"),
    Column("unchanged", BigInteger, nullable=False, server_default="0"),
    Column("deleted", BigInteger, nullable=False, server_default="0"),
    Column("updated", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    Column("deferred", BigInteger, nullable=False, server_default="0"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("objects_per_second", Float),
    Column("bytes_per_second", Float),
    Column("error", _Json),
    Column("response", _Json),
    Column("created_at", _Time, nullable=False),
    Column("ended_at", _Time),
    Column("expires_at", _Time),
    Column("pause_requested", Boolean, nullable=False, server_default=text("FALSE")),
    Column("principal", Text, nullable=False, server_default=text("''")),
    Column("is_end_told", Boolean, nullable=False, server_default=text("FALSE")),
    Index("ix_operations_listing", "dataset_id", "created_at", "id"),
    Index("ix_operations_claim", "state", "lease_until"),
    Index("ix_operations_store", "store_id", "state"),
    Index("ix_operations_expiry", "expires_at"),
    Index(
        "ix_operations_untold",
        "ended_at",
        sqlite_where=text("state = 'DONE' AND NOT is_end_told"),
        postgresql_where=text("state = 'DONE' AND NOT is_end_told"),
    ),
    CheckConstraint("state IN ('QUEUED', 'RUNNING', 'PAUSED', 'DONE')", name="state"),
    sqlite_autoincrement=True,  # an id is part of blob names and cursors: never used twice
)

operation_failures = Table(
    "operation_failures",
    metadata,
    Column(
        "operation_id",
        _Id,
        ForeignKey("operations.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("source", Text, nullable=False),
    Column("code", SmallInteger, nullable=False),
    Column("reason", _Key, nullable=False),
    Column("message", Text, nullable=False),
    Column("tag", Text),
    Column("byte_offset", BigInteger),
    Index("ix_operation_failures_reason", "operation_id", "reason", "ordinal"),
)

operation_deferred = Table(
    "operation_deferred",
    metadata,
    Column(
        "operation_id",
        _Id,
        ForeignKey("operations.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("source", Text, nullable=False),
    Column("version", Text),
    Column("size", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before", _Time, nullable=False),
    Column("state", _Json),
    Index("ix_operation_deferred_due", "operation_id", "not_before"),
)

operation_ledger = Table(
    "operation_ledger",
    metadata,
    Column(
        "operation_id",
        _Id,
        ForeignKey("operations.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("first_ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("lane", SmallInteger, primary_key=True, autoincrement=False),
    Column("n", Integer, nullable=False),
    Column("z", LargeBinary, nullable=False),
)

operation_foreseen = Table(
    "operation_foreseen",
    metadata,
    Column(
        "operation_id",
        _Id,
        ForeignKey("operations.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("sop_instance_uid", _Key, primary_key=True),
    Column("series_instance_uid", _Key, primary_key=True),
    Column("study_instance_uid", _Key, primary_key=True),
    Column("ordinal", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("version", Text),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("store_id", _Id, nullable=False),
    Column("payload", _Json, nullable=False),
    Column("created_at", _Time, nullable=False),
)

servers = Table(
    "servers",
    metadata,
    Column("boot", _Key, primary_key=True),
    Column("host", Text, nullable=False),
    Column("started_at", _Time, nullable=False),
    Column("lease_until", _Time, nullable=False),
)

service_accounts = Table(
    "service_accounts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("project", _Key, nullable=False),
    Column("account_id", _Key, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("disabled", Boolean, nullable=False, server_default=text("FALSE")),
    Column("created_at", _Time, nullable=False),
    UniqueConstraint("project", "account_id"),
    sqlite_autoincrement=True,  # a token of a deleted account is of no other
)

service_account_keys = Table(
    "service_account_keys",
    metadata,
    Column("key_id", _Key, primary_key=True),
    Column(
        "account_id", _Id, ForeignKey("service_accounts.id", ondelete="CASCADE"), nullable=False
    ),
    Column("public_key", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
    Index("ix_service_account_keys_account", "account_id"),
)

for _table in (headers, frame_tables, operation_ledger):
    # What is compressed already is kept out of line as it is.
    event.listen(
        _table,
        "after_create",
        DDL("ALTER TABLE %(table)s ALTER COLUMN z SET STORAGE EXTERNAL").execute_if(  # type: ignore[no-untyped-call]
            dialect="postgresql"
        ),
    )
