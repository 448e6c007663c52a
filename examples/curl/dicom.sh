#!/usr/bin/env bash
# Seven calls of the Cloud Healthcare API with curl, answered by Fileroom.
#
# Two lines differ from a script that calls Google:
#
#     endpoint=https://healthcare.googleapis.com   is   endpoint=$FILEROOM_SERVER
#     token=$(gcloud auth print-access-token)      is   token=$FILEROOM_TOKEN
#
# To run it, with curl 7.82 or newer, and python3 to print how an operation ended:
#
#     export FILEROOM_SERVER=http://127.0.0.1:8080 FILEROOM_TOKEN=...
#     ./dicom.sh import   STORE gs://BUCKET/PATTERN
#     ./dicom.sh export   STORE gs://BUCKET/DIRECTORY [MIME_TYPE]
#     ./dicom.sh store    STORE FILE
#     ./dicom.sh search   STORE [QUERY]
#     ./dicom.sh retrieve STORE STUDY SERIES INSTANCE FILE
#     ./dicom.sh rendered STORE STUDY SERIES INSTANCE FILE
#     ./dicom.sh delete   STORE STUDY
#
# STORE is projects/P/locations/L/datasets/D/dicomStores/S,
# QUERY is URL-encoded, such as "PatientName=Smith*&limit=5".
set -eu

endpoint=$FILEROOM_SERVER
token=$FILEROOM_TOKEN

import_instances() { # STORE URI
    local body operation
    body="{\"gcsSource\": {\"uri\": $(json_string "$2")}}"
    operation=$(request --json "$body" "$endpoint/v1/$1:import")
    finish "$operation"
}

export_instances() { # STORE URI_PREFIX MIME_TYPE
    local destination operation
    destination="{\"uriPrefix\": $(json_string "$2"), \"mimeType\": $(json_string "$3")}"
    operation=$(request --json "{\"gcsDestination\": $destination}" "$endpoint/v1/$1:export")
    finish "$operation"
}

store_instance() { # STORE FILE
    request --header 'Content-Type: application/dicom' --header 'Accept: application/dicom+json' \
        --request POST --upload-file "$2" "$endpoint/v1/$1/dicomWeb/studies"
}

search_studies() { # STORE QUERY
    local found
    found=$(request --header 'Accept: application/dicom+json' "$endpoint/v1/$1/dicomWeb/studies?$2")
    printf '%s\n' "${found:-[]}"
}

retrieve_instance() { # STORE STUDY SERIES INSTANCE FILE
    download 'application/dicom; transfer-syntax=*' \
        "$1/dicomWeb/studies/$2/series/$3/instances/$4" "$5"
}

retrieve_rendered() { # STORE STUDY SERIES INSTANCE FILE
    download image/png "$1/dicomWeb/studies/$2/series/$3/instances/$4/rendered" "$5"
}

delete_study() { # STORE STUDY
    local operation
    operation=$(request --request DELETE "$endpoint/v1/$1/dicomWeb/studies/$2")
    finish "$operation"
}

# Calls curl, which ends with a failure if the server does not answer well.
authorized_curl() {
    curl --silent --show-error --fail-with-body --globoff \
        --header "Authorization: Bearer $token" "$@"
}

# Prints what the server answers; a bad answer goes to stderr and ends the script.
request() {
    local answer
    if ! answer=$(authorized_curl "$@"); then
        printf '%s' "${answer:+$answer$'\n'}" >&2
        exit 1
    fi
    printf '%s\n' "$answer"
}

# Writes what the server answers to a file, which a bad answer leaves as it was.
download() { # ACCEPT RESOURCE FILE
    if ! authorized_curl --header "Accept: $1" "$endpoint/v1/$2" >"$3.part"; then
        cat "$3.part" >&2
        rm "$3.part"
        exit 1
    fi
    mv "$3.part" "$3"
    printf 'wrote %s\n' "$3"
}

# Waits until an operation is done; prints its counters, and what failed.
finish() { # OPERATION
    local operation=$1 name tenths=2
    name=$(printf '%s' "$operation" | sed -n 's/.*"name": *"\([^"]*\)".*/\1/p')
    operation=$(request "$endpoint/v1/$name")
    until printf '%s' "$operation" | grep -q '"done": *true'; do
        sleep "$((tenths / 10)).$((tenths % 10))"
        tenths=$((tenths < 10 ? tenths * 2 : 20))
        operation=$(request "$endpoint/v1/$name")
    done
    printf '%s' "$operation" | python3 -c '
import json, sys
operation = json.load(sys.stdin)
print(json.dumps(operation["metadata"].get("counter", {}), separators=(",", ":")))
if "error" in operation:
    error = operation["error"]
    print(error["message"], file=sys.stderr)
    for sample in error.get("details", [{}])[0].get("sampleErrors", []):
        print(sample["resource"] + ": " + sample["error"]["message"], file=sys.stderr)
    sys.exit(1)'
}

# Prints a text as a JSON string.
json_string() {
    printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"
}

case "${1-} $#" in
'import 3') import_instances "$2" "$3" ;;
'export 3') export_instances "$2" "$3" '' ;;
'export 4') export_instances "$2" "$3" "$4" ;;
'store 3') store_instance "$2" "$3" ;;
'search 2') search_studies "$2" '' ;;
'search 3') search_studies "$2" "$3" ;;
'retrieve 6') retrieve_instance "$2" "$3" "$4" "$5" "$6" ;;
'rendered 6') retrieve_rendered "$2" "$3" "$4" "$5" "$6" ;;
'delete 3') delete_study "$2" "$3" ;;
*)
    printf 'usage: dicom.sh import|export|store|search|retrieve|rendered|delete STORE ...\n' >&2
    exit 2
    ;;
esac
