"""Seven calls of the Cloud Healthcare API with Google's own Python libraries, answered by Fileroom.

Two lines differ from a program that calls Google:

    ENDPOINT = "https://healthcare.googleapis.com"   is   ENDPOINT = os.environ["FILEROOM_SERVER"]
    CREDENTIALS, _ = google.auth.default()           is   CREDENTIALS = AccessToken(...)

To run it, with Python 3.11 or newer:

    pip install google-api-python-client requests
    export FILEROOM_SERVER=http://127.0.0.1:8080 FILEROOM_TOKEN=...
    python dicom.py import   STORE gs://BUCKET/PATTERN
    python dicom.py export   STORE gs://BUCKET/DIRECTORY [MIME_TYPE]
    python dicom.py store    STORE FILE
    python dicom.py search   STORE [QUERY]
    python dicom.py retrieve STORE STUDY SERIES INSTANCE FILE
    python dicom.py rendered STORE STUDY SERIES INSTANCE FILE
    python dicom.py delete   STORE STUDY

STORE is projects/P/locations/L/datasets/D/dicomStores/S,
QUERY is URL-encoded, such as "PatientName=Smith*&limit=5".
"""

# mypy: allow-untyped-calls

import json
import os
import sys
import time

from google.auth import default
from google.auth.transport import Request
from google.auth.transport.requests import AuthorizedSession
from google.oauth2.credentials import Credentials
from googleapiclient import discovery
from googleapiclient.errors import HttpError


class AccessToken(Credentials):
    """A token that cannot be renewed; when it is refused, the server's words are seen."""

    def refresh(self, request: Request) -> None:
        """Keep the token; what a refresh asks for is not there."""


ENDPOINT = os.environ["FILEROOM_SERVER"]
CREDENTIALS, _ = (
    (AccessToken(os.environ["FILEROOM_TOKEN"]), None)
    if os.environ.get("FILEROOM_TOKEN")
    # Such as the key file of GOOGLE_APPLICATION_CREDENTIALS.
    else default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
)

USAGE = "usage: dicom.py import|export|store|search|retrieve|rendered|delete STORE ..."

healthcare = discovery.build(
    "healthcare", "v1", credentials=CREDENTIALS, client_options={"api_endpoint": ENDPOINT}
)
datasets = healthcare.projects().locations().datasets()
# The generated methods take and give JSON; what else DICOMweb takes and gives goes through this.
session = AuthorizedSession(CREDENTIALS)


def import_instances(store: str, uri: str) -> None:
    """Import the objects of a bucket that match a pattern."""
    body = {"gcsSource": {"uri": uri}}
    started = datasets.dicomStores().import_(name=store, body=body).execute()
    finish(started["name"])


def export_instances(store: str, uri_prefix: str, mime_type: str = "") -> None:
    """Export all instances into a bucket: as they are stored, or in another form."""
    body = {"gcsDestination": {"uriPrefix": uri_prefix, "mimeType": mime_type}}
    started = datasets.dicomStores().export(name=store, body=body).execute()
    finish(started["name"])


def store_instance(store: str, path: str) -> None:
    """Store one file, and print what became of it."""
    headers = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
    with open(path, "rb") as file:
        answer = session.post(dicomweb(store, "studies"), data=file, headers=headers)
    if not answer.ok:
        sys.exit(answer.content.decode())
    print(answer.content.decode())


def search_studies(store: str, query: str = "") -> None:
    """Print the studies that match, as DICOM JSON."""
    headers = {"Accept": "application/dicom+json"}
    answer = session.get(dicomweb(store, f"studies?{query}"), headers=headers)
    if not answer.ok:
        sys.exit(answer.content.decode())
    print(answer.content.decode() or "[]")


def retrieve(store: str, resource: str, accept: str, path: str) -> None:
    """Write an instance, or a picture of it, to a file."""
    headers = {"Accept": accept}
    with session.get(dicomweb(store, resource), headers=headers, stream=True) as answer:
        if not answer.ok:
            sys.exit(answer.content.decode())
        with open(path, "wb") as file:
            file.writelines(answer.iter_content(1 << 20))
    print("wrote", path)


def delete_study(store: str, study: str) -> None:
    """Delete a study with all that is in it."""
    studies = datasets.dicomStores().studies()
    started = studies.delete(parent=store, dicomWebPath=f"studies/{study}").execute()
    finish(started["name"])


def dicomweb(store: str, resource: str) -> str:
    """Give the URL of a DICOMweb resource."""
    return f"{ENDPOINT}/v1/{store}/dicomWeb/{resource}"


def finish(name: str) -> None:
    """Wait until an operation is done; print its counters, and what failed."""
    pause_seconds = 0.2
    while not (operation := datasets.operations().get(name=name).execute()).get("done"):
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, 2)

    print(json.dumps(operation["metadata"].get("counter", {}), separators=(",", ":")))
    if error := operation.get("error"):
        print(error["message"], file=sys.stderr)
        for sample in error.get("details", [{}])[0].get("sampleErrors", []):
            print(f"{sample['resource']}: {sample['error']['message']}", file=sys.stderr)
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Make the call that the command line names."""
    match arguments:
        case ["import", store, uri]:
            import_instances(store, uri)
        case ["export", store, uri_prefix, *mime_type] if len(mime_type) <= 1:
            export_instances(store, uri_prefix, *mime_type)
        case ["store", store, path]:
            store_instance(store, path)
        case ["search", store, *query] if len(query) <= 1:
            search_studies(store, *query)
        case ["retrieve", store, study, series, instance, path]:
            resource = f"studies/{study}/series/{series}/instances/{instance}"
            retrieve(store, resource, "application/dicom; transfer-syntax=*", path)
        case ["rendered", store, study, series, instance, path]:
            resource = f"studies/{study}/series/{series}/instances/{instance}/rendered"
            retrieve(store, resource, "image/png", path)
        case ["delete", store, study]:
            delete_study(store, study)
        case _:
            print(USAGE, file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ConnectionRefusedError as error:
        sys.exit(f"no server answers at {ENDPOINT}: {error.strerror}")
    except (HttpError, OSError, TypeError) as error:
        # A TypeError is the client's word for a STORE that is not such a name.
        sys.exit(str(error))
