"""The curl lines of docs/reference/api.md, which ``tests/examples/test_api_page.py`` runs."""

from __future__ import annotations

from typing import Final

_STORES: Final = "datasets.dicomStores"
_JSON: Final = '-H "$AUTH" -H "Content-Type: application/json"'

EXAMPLES: Final = {
    "list": 'curl -H "$AUTH" "$URL/v1/projects/demo/locations"',
    "datasets.list": 'curl -H "$AUTH" "$LOCATION/datasets?pageSize=10"',
    "datasets.create": f"""curl -X POST {_JSON} \\
    --data '{{"timeZone": "Europe/Zurich"}}' "$LOCATION/datasets?datasetId=radiology\"""",
    "datasets.get": 'curl -H "$AUTH" "$DATASET"',
    "datasets.patch": f"""curl -X PATCH {_JSON} \\
    --data '{{"timeZone": "UTC"}}' "$DATASET?updateMask=timeZone\"""",
    "datasets.delete": 'curl -X DELETE -H "$AUTH" "$DATASET"',
    f"{_STORES}.list": """curl -G -H "$AUTH" --data-urlencode 'filter=labels.site=north' \\
    "$DATASET/dicomStores\"""",
    f"{_STORES}.create": f"""curl -X POST {_JSON} \\
    --data '{{"labels": {{"site": "north"}}}}' "$DATASET/dicomStores?dicomStoreId=main\"""",
    f"{_STORES}.get": 'curl -H "$AUTH" "$STORE"',
    f"{_STORES}.patch": f"""curl -X PATCH {_JSON} \\
    --data '{{"fileroomOptions": {{"indexedAttributes": ["BodyPartExamined"]}}}}' \\
    "$STORE?updateMask=fileroomOptions\"""",
    f"{_STORES}.delete": 'curl -X DELETE -H "$AUTH" "$STORE"',
    f"{_STORES}.import": f"""curl -X POST {_JSON} \\
    --data '{{"gcsSource": {{"uri": "gs://trial/**"}}}}' "$STORE:import\"""",
    f"{_STORES}.export": f"""curl -X POST {_JSON} \\
    --data '{{"gcsDestination": {{"uriPrefix": "gs://exported/out", "mimeType": "image/png"}}}}' \\
    "$STORE:export\"""",
    f"{_STORES}.getDICOMStoreMetrics": 'curl -H "$AUTH" "$STORE:getDICOMStoreMetrics"',
    f"{_STORES}.setBlobStorageSettings": f"""curl -X POST {_JSON} \\
    --data '{{"blobStorageSettings": {{"blobStorageClass": "ARCHIVE"}}}}' \\
    "$STORE:setBlobStorageSettings\"""",
    "datasets.operations.list": 'curl -H "$AUTH" "$DATASET/operations?filter=done=false"',
    "datasets.operations.get": 'curl -H "$AUTH" "$OPERATION"',
    "datasets.operations.cancel": 'curl -X POST -H "$AUTH" "$OPERATION:cancel"',
    "fileroom.operations.pause": 'curl -X POST -H "$AUTH" "$OPERATION:pause"',
    "fileroom.operations.resume": 'curl -X POST -H "$AUTH" "$OPERATION:resume"',
    "fileroom.operations.undo": 'curl -X POST -H "$AUTH" "$OPERATION:undo"',
    "fileroom.operations.failures": 'curl -H "$AUTH" "$OPERATION:failures?format=csv"',
    "fileroom.operations.ledger": """curl -H "$AUTH" -o ledger.parquet \\
    "$OPERATION:ledger?format=parquet\"""",
    f"{_STORES}.searchForStudies": """curl -G -H "$AUTH" --data-urlencode 'PatientName=doe^*' \\
    "$STORE/dicomWeb/studies?limit=10\"""",
    f"{_STORES}.studies.searchForSeries": """curl -H "$AUTH" \\
    "$STORE/dicomWeb/studies/$STUDY/series?Modality=CT,MR&includefield=BodyPartExamined\"""",
    f"{_STORES}.studies.series.searchForInstances": """curl -H "$AUTH" \\
    "$STORE/dicomWeb/studies/$STUDY/series/$SERIES/instances?offset=0&limit=100\"""",
    f"{_STORES}.studies.retrieveStudy": """curl -H "$AUTH" -o study.multipart \\
    -H 'Accept: multipart/related; type="application/dicom"; transfer-syntax=*' \\
    "$STORE/dicomWeb/studies/$STUDY\"""",
    f"{_STORES}.studies.series.instances.retrieveInstance": """curl -H "$AUTH" -o one.dcm \\
    -H "Accept: application/dicom; transfer-syntax=*" \\
    "$STORE/dicomWeb/studies/$STUDY/series/$SERIES/instances/$INSTANCE\"""",
    f"{_STORES}.studies.retrieveMetadata": """curl -H "$AUTH" \\
    "$STORE/dicomWeb/studies/$STUDY/metadata\"""",
    f"{_STORES}.studies.series.instances.retrieveRendered": """curl -H "$AUTH" -o one.jpg \\
    "$STORE/dicomWeb/studies/$STUDY/series/$SERIES/instances/$INSTANCE/rendered?quality=80\"""",
    f"{_STORES}.studies.series.instances.frames.retrieveFrames": """curl -H "$AUTH" -o frame.raw \\
    -H "Accept: application/octet-stream" \\
    "$STORE/dicomWeb/studies/$STUDY/series/$SERIES/instances/$INSTANCE/frames/1\"""",
    "fileroom.dicomWeb.retrieveThumbnail": """curl -H "$AUTH" -o study.jpg \\
    "$STORE/dicomWeb/studies/$STUDY/thumbnail?viewport=200,200\"""",
    f"{_STORES}.storeInstances": """curl -X POST -H "$AUTH" \\
    -H "Content-Type: application/dicom" -H "Accept: application/dicom+json" \\
    --data-binary @slice-1.dcm "$STORE/dicomWeb/studies\"""",
    f"{_STORES}.updateInstances": """curl -X PUT -H "$AUTH" \\
    -H "Content-Type: application/dicom" -H "Accept: application/dicom+json" \\
    --data-binary @slice-1.dcm "$BETA/dicomWeb/studies\"""",
    f"{_STORES}.studies.updateMetadata": """curl -X PATCH -H "$AUTH" \\
    -H "Content-Type: application/dicom+json" \\
    --data '{"00081030": {"vr": "LO", "Value": ["Knee, left"]}}' \\
    "$BETA/dicomWeb/studies/$STUDY/metadata\"""",
    f"{_STORES}.studies.delete": """curl -X DELETE -H "$AUTH" \\
    "$STORE/dicomWeb/studies/$STUDY\"""",
    f"{_STORES}.studies.series.instances.delete": """curl -X DELETE -H "$AUTH" \\
    "$STORE/dicomWeb/studies/$STUDY/series/$SERIES/instances/$INSTANCE\"""",
    f"{_STORES}.dicomWeb.studies.getStudyMetrics": """curl -H "$AUTH" \\
    "$STORE/dicomWeb/studies/$STUDY:getStudyMetrics\"""",
    f"{_STORES}.dicomWeb.studies.series.instances.getStorageInfo": """curl -H "$AUTH" \\
    "$STORE/dicomWeb/studies/$STUDY/series/$SERIES/instances/$INSTANCE:getStorageInfo\"""",
    f"{_STORES}.dicomWeb.studies.setBlobStorageSettings": f"""curl -X POST {_JSON} \\
    --data '{{"blobStorageSettings": {{"blobStorageClass": "NEARLINE"}}}}' \\
    "$STORE/dicomWeb/studies/$STUDY:setBlobStorageSettings\"""",
}
"""By method, with the variables that the page sets."""
