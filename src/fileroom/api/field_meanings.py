"""What the fields of the API's messages mean, in words, by message and field."""

from __future__ import annotations

from typing import Final

_STRUCTURED: Final = "Absent: what is searched is kept in one database for all."
_INSTANCE_COUNT: Final = "How many instances."
_SERIES_COUNT: Final = "How many series."
_BLOB_BYTES: Final = "Bytes of their files."
_FILTER: Final = (
    "`gs://BUCKET/OBJECT`, a text with the path of a study, a series or an instance in each line;"
    " only these are taken."
)
_UNDELIVERED: Final = "Kept; this version delivers nothing."
_BIG_QUERY: Final = "Google's; without effect in this version."
_NEXT_PAGE: Final = "For `pageToken`; absent on the last page."
_MANIFEST_FORMAT: Final = "How the ledger is written: `NDJSON` (default), `CSV` or `PARQUET`."
_MANIFEST_URI_PREFIX: Final = (
    "Where the ledger is written at the end, in a directory named as the operation:"
    " `gs://`, `s3://`, `az://` or `file:///`."
)
_PRIORITY: Final = (
    "`LOW`, `NORMAL` or `HIGH`: what begins first, and is given more of the workers; `NORMAL` if"
    " empty."
)
_SETTINGS: Final = "`STANDARD`, `NEARLINE`, `COLDLINE` or `ARCHIVE`; a label of the instances."

FIELDS: Final = {
    "AuditConfig.service": "Refused: every access is audited.",
    "AuditConfig.auditLogConfigs": "Refused: every access is audited.",
    "AuditLogConfig.logType": "Refused: every access is audited.",
    "AuditLogConfig.exemptedMembers": "Refused: nobody is exempt.",
    "Binding.role": "`roles/healthcare.dicomViewer` and its kin; docs/reference/access.md tells"
    " them all.",
    "Binding.members": "`user:`, `serviceAccount:`, `group:` or `domain:`, and a name.",
    "Binding.condition": "Refused: this server holds no conditions.",
    "Expr.expression": "Refused.",
    "Expr.title": "Refused.",
    "Expr.description": "Refused.",
    "Expr.location": "Refused.",
    "Policy.version": "1; 0, 1 and 3 are taken.",
    "Policy.bindings": "Who has which role.",
    "Policy.auditConfigs": "Refused: every access is audited.",
    "Policy.etag": "Changes with the policy; sent back, it has the server refuse to undo what"
    " somebody else changed meanwhile.",
    "SetIamPolicyRequest.policy": "The policy; required.",
    "SetIamPolicyRequest.updateMask": "What of it to set: `bindings`, `etag`; both if empty.",
    "TestIamPermissionsRequest.permissions": "The permissions in question, such as"
    " `healthcare.dicomStores.get`; 1 to 100.",
    "TestIamPermissionsResponse.permissions": "Those of them that the caller holds.",
    "ServiceAccount.name": "The full name, with the email; given by the server.",
    "ServiceAccount.projectId": "Its project.",
    "ServiceAccount.uniqueId": "A number that no other account has had.",
    "ServiceAccount.email": "How policies and key files name it.",
    "ServiceAccount.displayName": "What it is for; at most 100 characters.",
    "ServiceAccount.disabled": "Whether it counts for nothing now.",
    "CreateServiceAccountRequest.accountId": "The first part of its email: 6 to 30 of `a-z`, `0-9`"
    " and `-`.",
    "CreateServiceAccountRequest.serviceAccount": "Its display name.",
    "ListServiceAccountsResponse.accounts": "The service accounts of the page.",
    "ListServiceAccountsResponse.nextPageToken": _NEXT_PAGE,
    "ServiceAccountKey.name": "The full name; given by the server.",
    "ServiceAccountKey.privateKeyType": "`TYPE_GOOGLE_CREDENTIALS_FILE`, where the file is given.",
    "ServiceAccountKey.keyAlgorithm": "`KEY_ALG_RSA_2048`.",
    "ServiceAccountKey.privateKeyData": "The key file in base64: given once, when the key is made.",
    "ServiceAccountKey.publicKeyData": "The half that verifies, PEM in base64; of one key that is"
    " asked for.",
    "ServiceAccountKey.validAfterTime": "When it was made.",
    "ServiceAccountKey.keyOrigin": "`GOOGLE_PROVIDED`: made by the server.",
    "ServiceAccountKey.keyType": "`USER_MANAGED`.",
    "CreateServiceAccountKeyRequest.privateKeyType": "`TYPE_GOOGLE_CREDENTIALS_FILE`, which is"
    " meant where it is absent.",
    "CreateServiceAccountKeyRequest.keyAlgorithm": "`KEY_ALG_RSA_2048`, which is meant where it is"
    " absent.",
    "ListServiceAccountKeysResponse.keys": "The keys, oldest first.",
    "BigQueryDestination.tableUri": f"`bq://PROJECT.DATASET.TABLE`. {_BIG_QUERY}",
    "BigQueryDestination.writeDisposition": _BIG_QUERY,
    "BigQueryDestination.force": _BIG_QUERY,
    "BigQueryDestination.includeSourceStore": _BIG_QUERY,
    "BigQueryDestination.schemaFlattened": _BIG_QUERY,
    "BigQueryDestination.schemaJson": _BIG_QUERY,
    "BlobStorageInfo.sizeBytes": "Bytes of the file.",
    "BlobStorageInfo.storageClass": "Its storage class.",
    "BlobStorageInfo.storageClassUpdateTime": "Since when it has this class.",
    "BlobStorageSettings.blobStorageClass": _SETTINGS,
    "Dataset.name": "The full name; given by the server.",
    "Dataset.timeZone": "A name of the IANA time zone database; UTC if empty.",
    "Dataset.encryptionSpec": "Refused where it names a key: there is no key management service.",
    "Dataset.satisfiesPzi": "Google's; always absent.",
    "Dataset.satisfiesPzs": "Google's; always absent.",
    "DicomFilterConfig.resourcePathsGcsUri": _FILTER,
    "DicomNotificationConfig.pubsubTopic": f"`projects/PROJECT/topics/TOPIC`. {_UNDELIVERED}",
    "DicomStore.name": "The full name; given by the server.",
    "DicomStore.labels": "Names and values of your own, to list stores by.",
    "DicomStore.notificationConfig": "The older form of `notificationConfigs`.",
    "DicomStore.notificationConfigs": "Whom to tell of new instances.",
    "DicomStore.streamConfigs": "Where to send metadata of new instances.",
    "DicomStore.fileroomOptions": "What Fileroom offers beyond Google's API.",
    "DicomStoreMetrics.name": "The DICOM store.",
    "DicomStoreMetrics.studyCount": "How many studies.",
    "DicomStoreMetrics.seriesCount": _SERIES_COUNT,
    "DicomStoreMetrics.instanceCount": _INSTANCE_COUNT,
    "DicomStoreMetrics.structuredStorageSizeBytes": _STRUCTURED,
    "DicomStoreMetrics.blobStorageSizeBytes": _BLOB_BYTES,
    "EncryptionSpec.kmsKeyName": "Refused: there is no key management service.",
    "ExportDicomDataRequest.gcsDestination": "The bucket to export to; required.",
    "ExportDicomDataRequest.bigqueryDestination": "Not offered: answers 501.",
    "ExportDicomDataRequest.filterConfig": "What to export; all if absent.",
    "ExportDicomDataRequest.fileroomOptions": "What Fileroom offers beside.",
    "ExportOptions.ifExists": "What becomes of an object that has the name of a file: `OVERWRITE`"
    " if empty, as Google does; `SKIP_IDENTICAL` leaves one of the same bytes alone; with `FAIL`"
    " the instance fails.",
    "ExportOptions.priority": _PRIORITY,
    "ExportOptions.manifestFormat": _MANIFEST_FORMAT,
    "ExportOptions.manifestUriPrefix": _MANIFEST_URI_PREFIX,
    "ExportOptions.since": "The full name of an export of this DICOM store that ended without an"
    " error: only what was stored or changed since it began is exported.",
    "ExportOptions.verify": "How what was written is verified before `_SUCCESS` is written: `SIZE`"
    " (default), or `CONTENT`, which reads it all again.",
    "ExportOptions.writeMetadata": "Whether the metadata of all that was exported are written"
    " beside the ledger, as Parquet.",
    "FileroomOptions.indexedAttributes": "Keywords of attributes to have indexed for searches.",
    "GcsDestination.uriPrefix": "`gs://BUCKET/DIRECTORY`.",
    "GcsDestination.mimeType": "The form, such as `image/png` or `application/dicom;"
    " transfer-syntax=1.2.840.10008.1.2.4.90`; as stored if empty.",
    "GcsSource.uri": "`gs://BUCKET/PATTERN`; `*` stands for anything within a directory, `**` for"
    " anything, `?` for one character.",
    "HttpBody.contentType": "The media type.",
    "HttpBody.data": "The body.",
    "HttpBody.extensions": "Google's; always absent.",
    "ImportDicomDataRequest.gcsSource": "What to import; required, but for a retry.",
    "ImportDicomDataRequest.blobStorageSettings": "The storage class of what is imported.",
    "ImportDicomDataRequest.fileroomOptions": "What Fileroom offers beside.",
    "ImportOptions.duplicatePolicy": "What becomes of an instance that is stored with other bytes:"
    " `FAIL_IF_DIFFERENT` if empty, as Google does, `KEEP_FIRST` or `REPLACE`.",
    "ImportOptions.manifestFormat": _MANIFEST_FORMAT,
    "ImportOptions.manifestUriPrefix": _MANIFEST_URI_PREFIX,
    "ImportOptions.mode": "`COPY`, or `REFERENCE`: objects stay where they lie, and only their"
    " headers are read; `COPY` if empty.",
    "ImportOptions.retryOf": "The full name of an import into this DICOM store that has ended: only"
    " what failed in it is imported, from where it was; what is left open is as it was there.",
    "ImportOptions.priority": _PRIORITY,
    "ImportOptions.validateOnly": "Whether headers are read and it is only told, in the account and"
    " the ledger, what would become of each object: nothing is stored.",
    "ListDatasetsResponse.datasets": "The datasets of the page.",
    "ListDatasetsResponse.nextPageToken": _NEXT_PAGE,
    "ListDicomStoresResponse.dicomStores": "The DICOM stores of the page.",
    "ListDicomStoresResponse.nextPageToken": _NEXT_PAGE,
    "ListLocationsResponse.locations": "The locations of the page.",
    "ListLocationsResponse.nextPageToken": _NEXT_PAGE,
    "ListOperationsResponse.operations": "The operations of the page.",
    "ListOperationsResponse.nextPageToken": _NEXT_PAGE,
    "ListLogEntriesRequest.resourceNames": "`projects/PROJECT`, one or several; required.",
    "ListLogEntriesRequest.filter": "Conditions joined with `AND`, such as"
    ' `resource.labels.dataset_id="d1" AND severity>=ERROR`: of `logName`, `operation.id`,'
    " `resource.type`, `resource.labels`, `severity`, `timestamp`.",
    "ListLogEntriesRequest.orderBy": "`timestamp asc`, or `timestamp desc` for the newest first.",
    "ListLogEntriesRequest.pageSize": "How many to give at most.",
    "ListLogEntriesRequest.pageToken": "`nextPageToken` of the page before.",
    "ListLogEntriesResponse.entries": "`LogEntry` each: `jsonPayload` holds `source` or"
    " `resourceName`, `error` and `reason` of an object that failed, or `message` and `counter` of"
    " an operation that ended.",
    "ListLogEntriesResponse.nextPageToken": _NEXT_PAGE,
    "ListProjectsResponse.projects": "The projects of the page.",
    "ListProjectsResponse.nextPageToken": _NEXT_PAGE,
    "Location.name": "The full name.",
    "Location.locationId": "Its last segment.",
    "NewBucket.name": "Its name: `gs://NAME` in URIs; required.",
    "NewBucket.location": "Taken, and left aside.",
    "NewBucket.storageClass": "Taken, and left aside.",
    "NotificationConfig.pubsubTopic": f"`projects/PROJECT/topics/TOPIC`. {_UNDELIVERED}",
    "NotificationConfig.sendForBulkImport": _UNDELIVERED,
    "Operation.name": "The full name, to ask for it again.",
    "Operation.metadata": "`apiMethodName`, `createTime`, `endTime`, `cancelRequested`; `counter`"
    " with `pending`, `success` and `failure`; `logsUrl`, the page of the console that shows each"
    " failure; `fileroomRequest`, what was asked.",
    "Operation.done": "Whether it has ended.",
    "Operation.error": "Why it failed, or what failed in it.",
    "Operation.response": "What it gave, if it did not fail.",
    "PreviewImportResponse.count": "How many objects match.",
    "PreviewImportResponse.sizeBytes": "Bytes of them.",
    "PreviewImportResponse.samples": "The first of them, as URIs.",
    "PreviewImportResponse.more": "Whether the time was over before all were listed.",
    "PreviewImportResponse.explanation": "Why nothing matches, and what would.",
    "Project.projectId": "The name that the names of its resources hold.",
    "Project.name": "The same.",
    "Project.lifecycleState": "Always `ACTIVE`.",
    "PromoteDicomDataRequest.path": "`studies/UID[/series/UID[/instances/UID]]`: what to copy in;"
    " all of the DICOM store if empty.",
    "SeriesMetrics.series": "The series.",
    "SeriesMetrics.instanceCount": _INSTANCE_COUNT,
    "SeriesMetrics.structuredStorageSizeBytes": _STRUCTURED,
    "SeriesMetrics.blobStorageSizeBytes": _BLOB_BYTES,
    "SetBlobStorageSettingsRequest.blobStorageSettings": "The storage class to set; required.",
    "SetBlobStorageSettingsRequest.filterConfig": "Of which instances of a DICOM store; all if"
    " absent.",
    "Status.code": "The number of a `google.rpc.Code`; in the body of an error HTTP's status.",
    "Status.message": "What is wrong, and what to do.",
    "Status.details": "Which field is wrong; of an operation `sampleErrors`, the first failures.",
    "StorageInfo.referencedResource": "The instance.",
    "StorageInfo.blobStorageInfo": "Its file.",
    "StorageInfo.structuredStorageInfo": "Google's; always absent.",
    "StreamConfig.bigqueryDestination": "The table of BigQuery.",
    "StructuredStorageInfo.sizeBytes": "Google's; always absent.",
    "StudyMetrics.study": "The study.",
    "StudyMetrics.seriesCount": _SERIES_COUNT,
    "StudyMetrics.instanceCount": _INSTANCE_COUNT,
    "StudyMetrics.structuredStorageSizeBytes": _STRUCTURED,
    "StudyMetrics.blobStorageSizeBytes": _BLOB_BYTES,
}
"""By message and field."""
