// Resource names, and where their pages and routes are.

export function datasetsPath(place) {
  return `/projects/${place.project}/locations/${place.location}`;
}

export function datasetPath(place) {
  return `${datasetsPath(place)}/datasets/${place.dataset}`;
}

export function storePath(place) {
  return `${datasetPath(place)}/dicomStores/${place.dicomStore}`;
}

export function operationPath(place, operation) {
  return `${datasetPath(place)}/operations/${operation}`;
}

// A route of the API for a path of a page: they are spelled alike.
export function api(path, version = "v1") {
  return `/${version}${path.split("/").map(encodeURIComponent).join("/")}`;
}

export function web(place) {
  return `${api(storePath(place))}/dicomWeb`;
}

// Buckets of Cloud Storage are named plainly, those elsewhere by their whole URI, as `s3://scans`.
export function bucketUri(name) {
  return name.includes("://") ? name : `gs://${name}`;
}

export function bucketPath(name) {
  return `/buckets/${encodeURIComponent(name)}`;
}

// Where the API has a bucket, and where it takes objects for it.
export function bucketRoute(name) {
  return `/storage/v1/b/${encodeURIComponent(name)}`;
}

export function uploadRoute(name) {
  return `/upload${bucketRoute(name)}/o`;
}

// The last segment of a resource name.
export function lastSegment(name) {
  return name.slice(name.lastIndexOf("/") + 1);
}
