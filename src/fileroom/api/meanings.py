"""What resources, methods, parameters and fields of the API are for, in words.

Its descriptions and docs/reference/api.md are made with them. A method that is not named here is
told by the first sentence of what answers it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.api.later import Later
from fileroom.api.routing import STORAGE_ROOTS

if TYPE_CHECKING:
    from fileroom.api.routing import Route

SEARCH: Final = "DICOMweb search"
RESOURCES: Final = {
    "Projects": "Who owns what. Any valid name is a project.",
    "Service accounts": "Names for programs, and the keys by which they prove who they are, in the"
    " form of Google's IAM API. What one may do, policies say.",
    "Locations": "Where datasets may be. A location is a name; all of them are on this server.",
    "Datasets": "A dataset holds DICOM stores and the operations on them.",
    "DICOM stores": "A DICOM store holds instances, and imports and exports them.",
    "Operations": "What an import, an export, a deletion or a patch has done so far. It goes on"
    " whether or not anybody asks, also after a restart of the server.",
    "Log entries": "What failed in operations, and how each ended, in Cloud Logging's form.",
    "Buckets": "The configured buckets in the form of Cloud Storage's JSON API v1, so that"
    " google-cloud-storage with `STORAGE_EMULATOR_HOST`, and `curl`, fill and read them.",
    SEARCH: "QIDO-RS: studies, series and instances by their attributes.",
    "DICOMweb retrieve": "WADO-RS: files, metadata, frames, pictures and bulk data.",
    "DICOMweb store and change": "STOW-RS, and changes of what is stored.",
    "DICOMweb delete": "Studies, series and instances, which are hidden as soon as this answers.",
    "DICOMweb metrics and storage classes": "How much a study, a series or an instance holds, and"
    " in which storage class.",
}
"""The groups of methods, in the order in which they are told."""

_ELSEWHERE: Final = {"projects": "Projects", "entries:list": "Log entries"}
"""Of methods that belong to no location, by their path."""
_WEB: Final = "datasets.dicomStores"
_INSTANCES: Final = f"{_WEB}.studies.series.instances"

SUMMARIES: Final = {
    "datasets.create": "Create a dataset; the operation that the answer names is done already.",
    f"{_WEB}.create": "Create a DICOM store.",
    "datasets.patch": "Change those settings of a dataset that `updateMask` names.",
    f"{_WEB}.patch": "Change those settings of a DICOM store that `updateMask` names.",
    f"{_WEB}.import": "Import the DICOM files of a bucket that match a pattern; the"
    " answer names the operation that does it.",
    f"{_WEB}.export": "Export instances into a bucket, as stored or in another form;"
    " the answer names the operation that does it.",
    "fileroom.dicomStores.previewImport": "Count what an import would list, within some 2 s and"
    " without reading an object.",
    "fileroom.dicomStores.promote": "Copy instances in that are kept by reference; the answer names"
    " the operation that does it.",
    f"{_WEB}.getDICOMStoreMetrics": "Count what a DICOM store holds.",
    f"{_WEB}.dicomWeb.studies.getStudyMetrics": "Count what a study holds.",
    f"{_WEB}.dicomWeb.studies.series.getSeriesMetrics": "Count what a series holds.",
    "datasets.operations.get": "Give an operation as it stands: its counters, whether it is done,"
    " and how it ended.",
    f"{_WEB}.updateInstances": "Store instances in the place of others; 409 if any was not stored.",
    f"{_WEB}.studies.updateInstances": "Store instances of one study in the place of"
    " others; 409 if any was not stored.",
    f"{_WEB}.storeInstances": "Store instances; 409 if any was not stored.",
    f"{_WEB}.studies.storeInstances": "Store instances of one study; 409 if any was not stored.",
    f"{_WEB}.searchForStudies": "Search a DICOM store for studies.",
    f"{_WEB}.searchForSeries": "Search a DICOM store for series.",
    f"{_WEB}.searchForInstances": "Search a DICOM store for instances.",
    f"{_WEB}.studies.searchForSeries": "Search a study for series.",
    f"{_WEB}.studies.searchForInstances": "Search a study for instances.",
    f"{_WEB}.studies.series.searchForInstances": "Search a series for instances.",
    f"{_WEB}.studies.retrieveStudy": "Give the instances of a study as parts.",
    f"{_WEB}.studies.series.retrieveSeries": "Give the instances of a series as parts.",
    f"{_INSTANCES}.retrieveInstance": "Give the file of an instance.",
    f"{_WEB}.studies.retrieveMetadata": "Give the attributes of all instances of a study.",
    f"{_WEB}.studies.series.retrieveMetadata": "Give the attributes of all instances of a series.",
    f"{_INSTANCES}.retrieveMetadata": "Give the attributes of an instance.",
    f"{_INSTANCES}.retrieveRendered": "Give a picture of an instance that has one frame.",
    f"{_INSTANCES}.frames.retrieveRendered": "Give pictures of frames; several come as parts.",
    f"{_INSTANCES}.frames.retrieveFrames": "Give frames in the order asked for, also one twice.",
    f"{_INSTANCES}.bulkdata.retrieveBulkdata": "Give the value that a link in the metadata names.",
    "fileroom.dicomWeb.retrieveThumbnail": "Give a small picture of a study, a series, an instance"
    " or a frame.",
    f"{_WEB}.studies.updateMetadata": "Replace attributes in all instances of a study; the answer"
    " names the operation that does it.",
    f"{_WEB}.studies.series.updateMetadata": "Replace attributes in all instances of a series; the"
    " answer names the operation that does it.",
    f"{_INSTANCES}.updateMetadata": "Replace attributes of an instance.",
    f"{_WEB}.studies.delete": "Delete a study, which is hidden at once; the answer names the"
    " operation that deletes what it holds.",
    f"{_WEB}.studies.series.delete": "Delete a series, which is hidden at once; the answer names"
    " the operation that deletes what it holds.",
}
"""By method, where what answers it says too little."""

PARAMETERS: Final = {
    "pageSize": "How many to give at most.",
    "pageToken": "`nextPageToken` of the page before.",
    "options.requestedPolicyVersion": "0, 1 or 3; no policy here holds conditions.",
    "updateMask": "The fields to change, with commas; one that the body lacks is cleared.",
    "datasetId": "The last segment of the new dataset's name.",
    "dicomStoreId": "The last segment of the new DICOM store's name.",
    "list.filter": "Taken, and left aside.",
    "list.extraLocationTypes": "Taken, and left aside.",
    "datasets.dicomStores.list.filter": "Labels, such as `labels.site=north AND labels.kind:*`;"
    " `AND`, `OR`, `NOT` and parentheses.",
    "datasets.operations.list.filter": "`done=true` or `done=false`.",
    "datasets.operations.list.returnPartialSuccess": "Not offered: `true` answers 501.",
    "fileroom.operations.failures.reason": "Only the failures with this reason code.",
    "fileroom.operations.failures.format": "`json`, a page; `ndjson` or `csv`, all; else as"
    " `Accept` says.",
    "fileroom.operations.ledger.format": "`ndjson`, `csv` or `parquet`; else as `Accept` says.",
    "project": "A project; buckets of no project belong to each.",
    "storage.buckets.insert.project": "Taken, and left aside: the bucket is of no project.",
    "permissions": "The permissions in question, such as `storage.objects.create`.",
    "prefix": "What the names begin with.",
    "delimiter": "`/`: one level alone, and the directories beside as `prefixes`.",
    "matchGlob": "A pattern of names: `*` and `?` within a directory, `**` for anything, `[a-z]`,"
    " `{a,b}`.",
    "startOffset": "The first name that may come.",
    "endOffset": "The first name that is too far.",
    "maxResults": "How many to give at most, up to 1000.",
    "name": "The name of the new object.",
    "ifGenerationMatch": "The generation that must be there, `0` for none; else 412.",
    "generation": "The generation that is wanted; 404 if another is there.",
    "upload_id": "As in the `Location` that the upload was given.",
    "projection": "Taken, and left aside.",
    "userProject": "Taken, and left aside.",
    "versions": "Taken, and left aside: there is one version of each object.",
    "includeTrailingDelimiter": "Taken, and left aside.",
    "includeFoldersAsPrefixes": "Taken, and left aside: an empty directory is none.",
    "viewport": "`WIDTH,HEIGHT`, into which the picture is fitted, then perhaps the region that is"
    " shown: `,X,Y,WIDTH,HEIGHT`.",
    "window": "`CENTER,WIDTH,FUNCTION`, such as `40,400,linear`.",
    "quality": "Of a JPEG, 1 to 100.",
    "limit": "How many results to give at most.",
    "offset": "How many results to pass over.",
    "fuzzymatching": "`true`: the words given begin words of the name.",
    "includefield": "An attribute to add to each result, by keyword or tag, several with commas or"
    " by repeating it; `all` adds the further ones.",
}
"""By name, or by method and name where it means something else there."""

SEARCH_PARAMETERS: Final = ("limit", "offset", "fuzzymatching", "includefield")
SEARCH_KEYS: Final = (
    "Beside the parameters below any attribute is one, to search by it: `PatientName=Doe^J*`."
)

_STORED: Final = (
    "One file, `application/dicom`, or many as parts of `multipart/related`; also metadata and bulk"
    " data, `application/dicom+json`."
)
_MODEL: Final = "What became of each instance: XML, or JSON with `Accept: application/dicom+json`."
_RESULTS: Final = "DICOM JSON, or XML as parts; 204 where nothing matches."
_PARTS: Final = "A part for each instance, in the transfer syntax that `Accept` names."
_PICTURE: Final = "`image/jpeg`, or `image/png` with `Accept: image/png`."

REQUESTS: Final = {
    "storeInstances": _STORED,
    "updateInstances": _STORED,
    "updateMetadata": "The attributes to replace, as one object of DICOM JSON,"
    " `application/dicom+json`.",
    "insert": "`uploadType=media`, the object; `multipart`, JSON and the object as two parts of"
    " `multipart/related`; `resumable`, JSON, and the object follows.",
    "resume": "The next bytes of the object, placed by `Content-Range`.",
}
"""Bodies that are no message, by the last word of the method."""

_BUCKET: Final = "The bucket; `fileroom.allow` tells what may be done with its objects."
_OBJECT: Final = (
    "The object: `{kind, name, bucket, generation, size, updated, contentType, etag, mediaLink,"
    " …}`."
)

ANSWERS: Final = {
    "searchForStudies": _RESULTS,
    "searchForSeries": _RESULTS,
    "searchForInstances": _RESULTS,
    "retrieveStudy": _PARTS,
    "retrieveSeries": _PARTS,
    "retrieveInstance": "The file, with `Accept: application/dicom; transfer-syntax=*` byte for"
    " byte as it was stored; else a part in Explicit VR Little Endian.",
    "retrieveMetadata": "DICOM JSON, or XML as parts; large values are links.",
    "retrieveRendered": _PICTURE,
    "retrieveThumbnail": _PICTURE,
    "retrieveFrames": "A part for each frame, in the media type that `Accept` names.",
    "retrieveBulkdata": "The value, `application/octet-stream`.",
    "storeInstances": _MODEL,
    "updateInstances": _MODEL,
    "updateMetadata": "The metadata as they are then, DICOM JSON or XML as parts.",
    "failures": "`{failures: [{source, error: {code, message}, reason, tag, byteOffset}],"
    " nextPageToken}`, or the same as lines of JSON or CSV.",
    "ledger": "A line for each object: `ordinal`, `source`, `result`, `reason`, `version`, `size`,"
    " `sha256`, `studyInstanceUid`, `seriesInstanceUid`, `sopInstanceUid`, `destination`.",
    "storage.buckets.list": "`{kind, items: [a bucket each], nextPageToken}`.",
    "storage.buckets.get": _BUCKET,
    "storage.buckets.insert": _BUCKET,
    "storage.buckets.testIamPermissions": "`{kind, permissions}`: those of them that are granted.",
    "storage.objects.list": "`{kind, items: [an object each], prefixes, nextPageToken}`; a page may"
    " hold fewer than asked for, even none, before the last.",
    "storage.objects.get": f"{_OBJECT} With `alt=media` its bytes, or those of `Range`.",
    "storage.objects.download": "With `alt=media` the bytes of the object, or those of `Range`.",
    "storage.objects.insert": f"{_OBJECT} For `resumable` nothing; `Location` says where the bytes"
    " are to be sent.",
    "storage.objects.cancelResumable": "Nothing, with status 499.",
    "storage.objects.resume": f"{_OBJECT} Status 308 until it is whole: `Range` tells which bytes"
    " are there.",
}
"""Answers that are no message, by method or by the last word of it."""


def resource_of(route: Route) -> str:
    """Give the group that a method belongs to."""
    if route.versions[0] in STORAGE_ROOTS:
        return "Buckets"
    if (resource := _ELSEWHERE.get(route.template)) is not None:
        return resource
    _, _, below = route.template.partition("/dicomWeb/")
    if not below:
        for word, resource in (
            ("/serviceAccounts", "Service accounts"),
            ("/operations", "Operations"),
            ("/dicomStores", "DICOM stores"),
            ("/datasets", "Datasets"),
        ):
            if word in route.template:
                return resource
        return "Locations"
    for beginning, resource in (
        ("search", SEARCH),
        ("retrieve", "DICOMweb retrieve"),
        ("store", "DICOMweb store and change"),
        ("update", "DICOMweb store and change"),
        ("delete", "DICOMweb delete"),
    ):
        if last_word(route).startswith(beginning):
            return resource
    return "DICOMweb metrics and storage classes"


def last_word(route: Route) -> str:
    """Give the method's name without the resource that it belongs to."""
    return route.method_id.rpartition(".")[2]


def parameter_meaning(route: Route, name: str) -> str:
    """Say what a query parameter of a method is for."""
    return PARAMETERS.get(f"{route.method_id}.{name}") or PARAMETERS[name]


def request_meaning(route: Route) -> str:
    """Say what a body that is no message holds."""
    return REQUESTS[last_word(route)]


def answer_meaning(route: Route) -> str:
    """Say what a method answers; empty where its message says so."""
    if isinstance(route.handler, Later) or route.response is not None:
        return ""
    return ANSWERS.get(route.method_id) or ANSWERS[last_word(route)]
