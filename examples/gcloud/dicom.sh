#!/usr/bin/env bash
# Imports and exports DICOM instances, and manages datasets and DICOM stores, with gcloud.
#
# Two settings differ from calling Google, which needs neither: the endpoint and the access token,
# in the two lines that start with "export CLOUDSDK_". To run it:
#
#   export FILEROOM_SERVER=http://127.0.0.1:8080 FILEROOM_TOKEN=$(fileroom auth print-access-token)
#   bash dicom.sh import projects/P/locations/L/datasets/D/dicomStores/S 'gs://BUCKET/**.dcm'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s' "$FILEROOM_TOKEN" > "$work/token"

export CLOUDSDK_API_ENDPOINT_OVERRIDES_HEALTHCARE=$FILEROOM_SERVER/
export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=$work/token

usage="usage: dicom.sh import STORE gs://BUCKET/PATTERN\
 | export STORE gs://BUCKET/DIRECTORY [MIME_TYPE]\
 | datasets list projects/P/locations/L | datasets create|describe|delete DATASET\
 | datasets update DATASET TIME_ZONE | stores list DATASET | stores create|describe|delete STORE\
 | stores update STORE TOPIC | operations list DATASET | operations describe OPERATION\
 | metrics STORE"

refuse() { # [CALL]
    echo "${1+gcloud has no command for DICOMweb, so no $1; }$usage" >&2
    exit 2
}

import_instances() { # STORE PATTERN
    operation=$(start dicom-stores import gcs "$1" --gcs-uri="$2")
    wait_for "$operation"
}

export_instances() { # STORE DIRECTORY [MIME_TYPE]
    operation=$(start dicom-stores export gcs "$1" --gcs-uri-prefix="$2" ${3:+--mime-type="$3"})
    wait_for "$operation"
}

# Prints the name of the operation that a command starts; what gcloud says only if it fails.
start() { # COMMAND
    gcloud healthcare "$@" --async --format='value(name)' 2> "$work/said" && return
    cat "$work/said" >&2
    return 1
}

# Without --async gcloud waits itself, but then prints the store and not the counters.
wait_for() { # OPERATION
    pause=0 # the start of gcloud is a pause of its own
    while true; do
        state=$(describe "$1")
        [[ $state != *'"done":true'* ]] || break
        sleep "$pause"
        pause=$((pause < 2 ? pause + 1 : 2))
    done
    counter='{}'
    if [[ $state == *'"counter":{'* ]]; then
        counter=${state#*'"counter":'}
        counter=${counter%%'}'*}'}'
    fi
    printf '%s\n' "$counter"
    if [[ $state == *'"error":'* ]]; then
        print_error "$1" >&2
        exit 1
    fi
}

describe() { # OPERATION
    gcloud healthcare operations describe "$1" \
        --format='json(done, error.code, metadata.counter)' | tr -d ' \n'
}

# An operation that failed as a whole has no sample errors: the line without them is left out.
print_error() { # OPERATION
    gcloud healthcare operations describe "$1" --format='value(error.message)'
    gcloud healthcare operations describe "$1" --flatten='error.details[].sampleErrors[]' \
        --format='value[separator=": "](
            error.details.sampleErrors.resource, error.details.sampleErrors.error.message)' |
        sed '/^: $/d'
}

list_datasets() { # projects/P/locations/L
    IFS=/ read -r _ project _ location <<< "$1"
    gcloud healthcare datasets list --project="$project" --location="$location"
}

(($# >= 2)) || refuse
# Without an answer gcloud tries for half a minute, and then says that it crashed.
curl --silent --output /dev/null "$FILEROOM_SERVER/healthz" || {
    echo "no server answers at $FILEROOM_SERVER" >&2
    exit 1
}

case "$# $1 $2" in
    '3 import '*) import_instances "$2" "$3" ;;
    [34]' export '*) export_instances "${@:2}" ;;
    '3 datasets list') list_datasets "$3" ;;
    '3 datasets create') gcloud healthcare datasets create "$3" ;;
    '3 datasets describe') gcloud healthcare datasets describe "$3" ;;
    '4 datasets update') gcloud healthcare datasets update "$3" --time-zone="$4" ;;
    '3 datasets delete') gcloud healthcare datasets delete "$3" --quiet ;;
    '3 stores list') gcloud healthcare dicom-stores list --dataset="$3" ;;
    '3 stores create') gcloud healthcare dicom-stores create "$3" ;;
    '3 stores describe') gcloud healthcare dicom-stores describe "$3" ;;
    '4 stores update') gcloud healthcare dicom-stores update "$3" --pubsub-topic="$4" ;;
    '3 stores delete') gcloud healthcare dicom-stores delete "$3" --quiet ;;
    '3 operations list') gcloud healthcare operations list --dataset="$3" ;;
    '3 operations describe') gcloud healthcare operations describe "$3" ;;
    '2 metrics '*) gcloud healthcare dicom-stores metrics "$2" ;;
    *' store '* | *' search '* | *' retrieve '* | *' rendered '* | *' delete '*) refuse "$1" ;;
    *) refuse ;;
esac
