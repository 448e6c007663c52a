// What an operation's JSON says, and how fast it goes (pure; as `fileroom operations wait` computes it).

const RATE_WINDOW_SECONDS = 20;
const READINGS_MAX = 2000;
const UNKNOWN = 2;
const CANCELLED = 1;

// The account of `metadata.fileroom`, in the order in which it is told.
export const ACCOUNT = ["listed", "imported", "identical", "kept", "replaced", "exported", "unchanged", "deleted",
  "updated", "failed", "pending", "notStarted"];

// What it does: `ImportDicomData` of `google.cloud.healthcare.v1.dicom.DicomService.ImportDicomData`.
export function kindOf(operation) {
  const method = operation.metadata?.apiMethodName || "";
  return method.slice(method.lastIndexOf(".") + 1);
}

// One of running, stopping, paused, done, partlyFailed, failed, cancelled.
export function stateOf({ done, error, metadata = {} }) {
  if (!done) {
    if (metadata.cancelRequested) return "stopping";
    return metadata.fileroom?.pausedWhy ? "paused" : "running";
  }
  if (!error) return "done";
  if (error.code === CANCELLED) return "cancelled";
  const failed = failedOf({ metadata });
  return error.code === UNKNOWN && failed > 0 && failed < countOf({ metadata }) ? "partlyFailed" : "failed";
}

// Objects that are settled, well or not.
export function countOf(operation) {
  const { success = 0, failure = 0 } = operation.metadata?.counter || {};
  return Number(success) + Number(failure);
}

export function failedOf(operation) {
  return Number(operation.metadata?.counter?.failure || 0);
}

// The terms of the account that tell something: those that the server gives, without what is nothing and cannot
// be otherwise. An export leaves no file as it was.
export function toldOf(operation) {
  const account = operation.metadata.fileroom || {};
  const silent = ["notStarted"];
  if (operation.done) silent.push("pending");
  if (kindOf(operation) === "ExportDicomData") silent.push("unchanged");
  return ACCOUNT.filter((term) => Number(account[term]) || (term in account && !silent.includes(term)));
}

// How many objects there are; undefined until the server has counted them.
export function totalOf(operation) {
  const total = operation.metadata?.fileroom?.total;
  return total === undefined ? undefined : Number(total);
}

// What it works on: the id of its DICOM store, and where it reads from or writes to.
export function requestOf(operation) {
  const request = operation.metadata?.fileroomRequest || {};
  const [, dicomStore = "", after = ""] = /\/dicomStores\/([^/]+)(?:\/dicomWeb)?(.*)$/.exec(request.name || "") || [];
  const below = request.path || after;
  const source = request.gcsSource?.uri || "";
  const destination = request.gcsDestination?.uriPrefix || "";
  return { dicomStore, source, destination, place: source || destination || below.replace(/^\//, "") };
}

// Whether somebody asked it to wait.
export function isAskedToWait(operation) {
  return operation.metadata?.fileroom?.pauseRequested === true;
}

// Whether it only tells what it would do.
export function isTrial(operation) {
  return operation.metadata?.fileroomRequest?.fileroomOptions?.validateOnly === true;
}

// Seconds from the start to the end, or to `now` where it goes on; undefined where the start is not known.
export function durationOf({ metadata = {} }, now) {
  if (!metadata.createTime) return undefined;
  const end = metadata.endTime ? Date.parse(metadata.endTime) : now;
  return Math.max(0, end - Date.parse(metadata.createTime)) / 1000;
}

// The readings {seconds, count} with one more; of very many every other one is dropped.
export function withReading(readings, seconds, count) {
  const more = [...readings, { seconds, count }];
  return more.length <= READINGS_MAX ? more : more.filter((_, index) => index % 2 === 1 || index === more.length - 1);
}

// Objects per second over the last readings; undefined before anything moved.
export function rateOf(readings, windowSeconds = RATE_WINDOW_SECONDS) {
  const last = readings.at(-1);
  if (readings.length < 2) return undefined;
  const from = readings.findIndex(({ seconds }) => seconds >= last.seconds - windowSeconds);
  const first = readings[Math.min(from, readings.length - 2)];
  if (last.seconds <= first.seconds || last.count <= first.count) return undefined;
  return (last.count - first.count) / (last.seconds - first.seconds);
}

// Seconds until all is done at that rate; undefined if the total or the rate is not known.
export function remainingOf(readings, total) {
  const rate = rateOf(readings);
  if (rate === undefined || total === undefined) return undefined;
  return Math.max(0, total - readings.at(-1).count) / rate;
}

// Two rows for a plot: the time of each reading, and the objects per second at it.
export function throughput(readings, windowSeconds) {
  const times = [];
  const rates = [];
  let from = 0;
  for (let at = 1; at < readings.length; at += 1) {
    while (from < at - 1 && readings[from].seconds < readings[at].seconds - windowSeconds) from += 1;
    const seconds = readings[at].seconds - readings[from].seconds;
    if (seconds <= 0) continue;
    times.push(readings[at].seconds);
    rates.push(Math.max(0, readings[at].count - readings[from].count) / seconds);
  }
  return [times, rates];
}
