"""The whole schema of version 1.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "blob_drops",
        sa.Column("id", ID, nullable=False),
        sa.Column("store_id", ID, nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("place_key", KEY, nullable=False),
        sa.Column("place_offset", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("study_instance_uid", KEY, nullable=False),
        sa.Column("series_instance_uid", KEY, nullable=False),
        sa.Column("sop_instance_uid", KEY, nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default="QUEUED", nullable=False),
        sa.CheckConstraint("state IN ('QUEUED', 'DROPPING')", name=op.f("ck_blob_drops_state")),
        sa.PrimaryKeyConstraint("id", name="pk_blob_drops"),
        sa.UniqueConstraint(
            "store_id",
            "place_key",
            "place_offset",
            name="uq_blob_drops_store_id_place_key_place_offset",
        ),
    )
    op.create_index("ix_blob_drops_due", "blob_drops", ["state", "not_before"], unique=False)
    op.create_table(
        "datasets",
        sa.Column("id", ID, nullable=False),
        sa.Column("project", KEY, nullable=False),
        sa.Column("location", KEY, nullable=False),
        sa.Column("dataset_id", KEY, nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=True),
        sa.Column("encryption", sa.Text(), nullable=True),
        sa.Column("policy", JSON, nullable=True),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
    )
    op.create_index(
        "uq_datasets_living",
        "datasets",
        ["project", "location", "dataset_id"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "header_dicts",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_header_dicts"),
    )
    op.create_table(
        "meta",
        sa.Column("key", KEY, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", ID, nullable=False),
        sa.Column("store_id", ID, nullable=False),
        sa.Column("payload", JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_table(
        "tombstones",
        sa.Column("id", ID, nullable=False),
        sa.Column("store_id", ID, nullable=False),
        sa.Column("study_instance_uid", KEY, nullable=False),
        sa.Column("series_instance_uid", KEY, nullable=True),
        sa.Column("sop_instance_uid", KEY, nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tombstones"),
    )
    op.create_index(
        "ix_tombstones_study", "tombstones", ["store_id", "study_instance_uid"], unique=False
    )
    op.create_table(
        "dicom_stores",
        sa.Column("id", ID, nullable=False),
        sa.Column("dataset_id", ID, nullable=False),
        sa.Column("dicom_store_id", KEY, nullable=False),
        sa.Column("config", JSON, nullable=False),
        sa.Column("policy", JSON, nullable=True),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("blob_prefix", KEY, nullable=False),
        sa.Column("change_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_dicom_stores_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_dicom_stores"),
        sa.UniqueConstraint("blob_prefix", name="uq_dicom_stores_blob_prefix"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dicom_stores_deleted_at", "dicom_stores", ["deleted_at"], unique=False)
    op.create_index(
        "uq_dicom_stores_living",
        "dicom_stores",
        ["dataset_id", "dicom_store_id"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "operations",
        sa.Column("id", ID, nullable=False),
        sa.Column("dataset_id", ID, nullable=False),
        sa.Column("operation_id", KEY, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("api_version", sa.Text(), nullable=False),
        sa.Column("store_id", ID, nullable=True),
        sa.Column("request", JSON, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("paused_why", sa.Text(), nullable=True),
        sa.Column(
            "cancel_requested", sa.Boolean(), server_default=sa.text("FALSE"), nullable=False
        ),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("start_seq", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=True),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("next_ordinal", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("listed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("imported", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("identical", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("kept", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("replaced", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("exported", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unchanged", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("deleted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("updated", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("deferred", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error", JSON, nullable=True),
        sa.Column("response", JSON, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('QUEUED', 'RUNNING', 'PAUSED', 'DONE')", name=op.f("ck_operations_state")
        ),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_operations_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_operations"),
        sa.UniqueConstraint("operation_id", name="uq_operations_operation_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_operations_claim", "operations", ["state", "lease_until"], unique=False)
    op.create_index("ix_operations_expiry", "operations", ["expires_at"], unique=False)
    op.create_index(
        "ix_operations_listing", "operations", ["dataset_id", "created_at", "id"], unique=False
    )
    op.create_index("ix_operations_store", "operations", ["store_id", "state"], unique=False)
    op.create_table(
        "operation_deferred",
        sa.Column("operation_id", ID, autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("state", JSON, nullable=True),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operations.id"],
            name="fk_operation_deferred_operation_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("operation_id", "ordinal", name="pk_operation_deferred"),
    )
    op.create_index(
        "ix_operation_deferred_due",
        "operation_deferred",
        ["operation_id", "not_before"],
        unique=False,
    )
    op.create_table(
        "operation_failures",
        sa.Column("operation_id", ID, autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("code", sa.SmallInteger(), nullable=False),
        sa.Column("reason", KEY, nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=True),
        sa.Column("byte_offset", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operations.id"],
            name="fk_operation_failures_operation_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("operation_id", "ordinal", name="pk_operation_failures"),
    )
    op.create_index(
        "ix_operation_failures_reason",
        "operation_failures",
        ["operation_id", "reason", "ordinal"],
        unique=False,
    )
    op.create_table(
        "operation_ledger",
        sa.Column("operation_id", ID, autoincrement=False, nullable=False),
        sa.Column("first_ordinal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lane", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("z", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operations.id"],
            name="fk_operation_ledger_operation_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "operation_id", "first_ordinal", "lane", name="pk_operation_ledger"
        ),
    )
    op.create_table(
        "studies",
        sa.Column("id", ID, nullable=False),
        sa.Column("store_id", ID, nullable=False),
        sa.Column("study_instance_uid", KEY, nullable=False),
        sa.Column("state", sa.Text(), server_default="LIVING", nullable=False),
        sa.Column("described_by", ID, nullable=True),
        sa.Column("patient_id", KEY, nullable=True),
        sa.Column("patient_name", KEY, nullable=True),
        sa.Column("patient_name_key", KEY, nullable=True),
        sa.Column("patient_birth_date", KEY, nullable=True),
        sa.Column("patient_sex", KEY, nullable=True),
        sa.Column("study_date", KEY, nullable=True),
        sa.Column("study_time", KEY, nullable=True),
        sa.Column("accession_number", KEY, nullable=True),
        sa.Column("referring_physician_name", KEY, nullable=True),
        sa.Column("referring_physician_name_key", KEY, nullable=True),
        sa.Column("study_id", KEY, nullable=True),
        sa.Column("study_description", KEY, nullable=True),
        sa.CheckConstraint("state IN ('LIVING', 'DELETING')", name=op.f("ck_studies_state")),
        sa.ForeignKeyConstraint(["store_id"], ["dicom_stores.id"], name="fk_studies_store_id"),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
        sa.UniqueConstraint(
            "store_id", "study_instance_uid", name="uq_studies_store_id_study_instance_uid"
        ),
    )
    op.create_index(
        "ix_studies_accession_number",
        "studies",
        ["store_id", "accession_number", "id"],
        unique=False,
    )
    op.create_index(
        "ix_studies_patient_id", "studies", ["store_id", "patient_id", "id"], unique=False
    )
    op.create_index(
        "ix_studies_patient_name", "studies", ["store_id", "patient_name", "id"], unique=False
    )
    op.create_index(
        "ix_studies_patient_name_key",
        "studies",
        ["store_id", "patient_name_key", "id"],
        unique=False,
    )
    op.create_index(
        "ix_studies_referring",
        "studies",
        ["store_id", "referring_physician_name", "id"],
        unique=False,
    )
    op.create_index("ix_studies_store", "studies", ["store_id", "id"], unique=False)
    op.create_index(
        "ix_studies_study_date", "studies", ["store_id", "study_date", "id"], unique=False
    )
    op.create_table(
        "series",
        sa.Column("id", ID, nullable=False),
        sa.Column("store_id", ID, nullable=False),
        sa.Column("study_id", ID, nullable=False),
        sa.Column("series_instance_uid", KEY, nullable=False),
        sa.Column("state", sa.Text(), server_default="LIVING", nullable=False),
        sa.Column("described_by", ID, nullable=True),
        sa.Column("modality", KEY, nullable=True),
        sa.Column("series_number", sa.BigInteger(), nullable=True),
        sa.Column("series_description", KEY, nullable=True),
        sa.Column("series_date", KEY, nullable=True),
        sa.Column("series_time", KEY, nullable=True),
        sa.Column("instance_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("changed_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("state IN ('LIVING', 'DELETING')", name=op.f("ck_series_state")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_series_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
        sa.UniqueConstraint(
            "study_id", "series_instance_uid", name="uq_series_study_id_series_instance_uid"
        ),
    )
    op.create_index("ix_series_modality", "series", ["store_id", "modality", "id"], unique=False)
    op.create_index("ix_series_store", "series", ["store_id", "id"], unique=False)
    op.create_index("ix_series_study", "series", ["study_id", "id"], unique=False)
    op.create_index("ix_series_uid", "series", ["store_id", "series_instance_uid"], unique=False)
    op.create_table(
        "instances",
        sa.Column("id", ID, nullable=False),
        sa.Column("store_id", ID, nullable=False),
        sa.Column("series_id", ID, nullable=False),
        sa.Column("sop_instance_uid", KEY, nullable=False),
        sa.Column("sop_class_uid", KEY, nullable=False),
        sa.Column("instance_number", sa.BigInteger(), nullable=True),
        sa.Column("transfer_syntax_uid", KEY, nullable=False),
        sa.Column("specific_character_set", sa.Text(), nullable=True),
        sa.Column("timezone_offset_from_utc", sa.Text(), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("columns", sa.Integer(), nullable=True),
        sa.Column("bits_allocated", sa.Integer(), nullable=True),
        sa.Column("number_of_frames", sa.BigInteger(), nullable=True),
        sa.Column("frames_known", sa.Text(), nullable=False),
        sa.Column("created_seq", sa.BigInteger(), nullable=False),
        sa.Column("changed_seq", sa.BigInteger(), nullable=False),
        sa.Column("operation_id", ID, nullable=True),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.Column("storage_class", sa.Text(), server_default="STANDARD", nullable=False),
        sa.Column("storage_class_updated_at", sa.BigInteger(), nullable=True),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("place_key", KEY, nullable=False),
        sa.Column("place_offset", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("place_version", sa.Text(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("md5", sa.LargeBinary(), nullable=True),
        sa.Column("crc32c", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "frames_known IN ('NATIVE', 'TABLE', 'UNKNOWN')", name=op.f("ck_instances_frames_known")
        ),
        sa.CheckConstraint("place IN (0, 1, 2)", name=op.f("ck_instances_place")),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name="fk_instances_series_id"),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
        sa.UniqueConstraint(
            "series_id", "sop_instance_uid", name="uq_instances_series_id_sop_instance_uid"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_instances_changed", "instances", ["store_id", "changed_seq"], unique=False)
    op.create_index("ix_instances_uid", "instances", ["store_id", "sop_instance_uid"], unique=False)
    op.create_table(
        "extra_attributes",
        sa.Column("store_id", ID, autoincrement=False, nullable=False),
        sa.Column("path", KEY, nullable=False),
        sa.Column("value_key", KEY, nullable=False),
        sa.Column("instance_id", ID, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["instances.id"],
            name="fk_extra_attributes_instance_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "store_id", "path", "value_key", "instance_id", name="pk_extra_attributes"
        ),
    )
    op.create_index(
        "ix_extra_attributes_instance", "extra_attributes", ["instance_id"], unique=False
    )
    op.create_table(
        "indexed_attributes",
        sa.Column("store_id", ID, autoincrement=False, nullable=False),
        sa.Column("path", KEY, nullable=False),
        sa.Column("state", sa.Text(), server_default="FILLING", nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default="-1", nullable=False),
        sa.Column("instance_id", ID, server_default="0", nullable=False),
        sa.Column("filled", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "state IN ('FILLING', 'READY', 'LEAVING')",
            name=op.f("ck_indexed_attributes_state"),
        ),
        sa.PrimaryKeyConstraint("store_id", "path", name="pk_indexed_attributes"),
    )
    op.create_table(
        "frame_tables",
        sa.Column("instance_id", ID, autoincrement=False, nullable=False),
        sa.Column("chunk", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("z", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["instances.id"],
            name="fk_frame_tables_instance_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("instance_id", "chunk", name="pk_frame_tables"),
    )
    op.create_table(
        "headers",
        sa.Column("instance_id", ID, autoincrement=False, nullable=False),
        sa.Column("dict", sa.Integer(), nullable=False),
        sa.Column("z", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name="fk_headers_instance_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("instance_id", name="pk_headers"),
    )
    # ### end Alembic commands ###

    if op.get_bind().dialect.name == "postgresql":
        for table in ("headers", "frame_tables", "operation_ledger"):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN z SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Drop every table; what the store holds stays in its blobs."""
    op.drop_table("headers")
    op.drop_table("frame_tables")
    op.drop_table("indexed_attributes")
    op.drop_table("extra_attributes")
    op.drop_table("instances")
    op.drop_table("series")
    op.drop_table("studies")
    op.drop_table("operation_ledger")
    op.drop_table("operation_failures")
    op.drop_table("operation_deferred")
    op.drop_table("operations")
    op.drop_table("dicom_stores")
    op.drop_table("tombstones")
    op.drop_table("outbox")
    op.drop_table("meta")
    op.drop_table("header_dicts")
    op.drop_table("datasets")
    op.drop_table("blob_drops")
