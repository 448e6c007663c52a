// The frames of a series in the order in which they are looked at, and how they are brought in.

import { numbers, value } from "./attributes.js";

const KEPT_BYTES_MAX = 256 * 1024 * 1024;
const SAME_DIRECTION = 0.99;
const SAME_PLACE_MM = 0.001;

// Every frame of a series: how many there are, and at(index) gives { instance, frame }, frames counted from 1.
// None is kept, for a file may say that it has any number of them.
export function framesOf(instances) {
  const ordered = inOrder(instances);
  const ends = [];
  let length = 0;
  for (const instance of ordered) ends.push(length += countOf(instance));
  const at = (index) => {
    if (!(index >= 0 && index < length)) return undefined;
    const which = firstAbove(ends, index);
    return { instance: ordered[which], frame: index - (ends[which - 1] || 0) + 1 };
  };
  return { length, at };
}

function countOf(instance) {
  const count = Math.trunc(Number(value(instance, "00280008")));
  return Number.isSafeInteger(count) && count > 0 ? count : 1;
}

// The index of the first of rising numbers that is above a limit.
function firstAbove(rising, limit) {
  let [low, high] = [0, rising.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle] > limit) high = middle;
    else low = middle + 1;
  }
  return low;
}

// Instances that show anything.
export function withPictures(instances) {
  return instances.filter((instance) => value(instance, "00280010") && value(instance, "00280011"));
}

// By place along the patient where each slice has its own, otherwise by number.
export function inOrder(instances) {
  const byNumber = [...instances].sort((one, other) => numberOf(one) - numberOf(other)
    || compare(value(one, "00080018"), value(other, "00080018")));
  const places = placesOf(byNumber);
  if (!places) return byNumber;
  const order = byNumber.map((_, index) => index).sort((one, other) => places[one] - places[other]);
  for (let at = 1; at < order.length; at += 1) {
    if (places[order[at]] - places[order[at - 1]] < SAME_PLACE_MM) return byNumber;
  }
  // Numbers tell in which direction the series is read.
  if (order[0] > order.at(-1)) order.reverse();
  return order.map((index) => byNumber[index]);
}

function numberOf(instance) {
  return Number(value(instance, "00200013") ?? Number.MAX_SAFE_INTEGER);
}

function compare(one, other) {
  return one < other ? -1 : Number(one > other);
}

// How far each slice lies along the direction that all look in; null if they do not.
function placesOf(instances) {
  if (instances.length < 2) return null;
  const first = normalOf(instances[0]);
  if (!first) return null;
  const places = [];
  for (const instance of instances) {
    const normal = normalOf(instance);
    const position = numbers(instance, "00200032");
    if (!normal || position.length !== 3 || dot(normal, first) < SAME_DIRECTION) return null;
    places.push(dot(position, first));
  }
  return places.every(Number.isFinite) ? places : null;
}

function normalOf(instance) {
  const [a, b, c, d, e, f] = numbers(instance, "00200037");
  return f === undefined ? null : [b * f - c * e, c * d - a * f, a * e - b * d];
}

function dot(one, other) {
  return one.reduce((sum, each, index) => sum + each * other[index], 0);
}

// Which frames to have at hand: that one, then its neighbours, most of them in the direction of reading.
export function around(at, count, direction, reach) {
  const wanted = [at];
  for (let step = 1; step <= reach; step += 1) {
    wanted.push(at + step * direction);
    if (step <= reach / 3) wanted.push(at - step * direction);
  }
  return wanted.filter((index) => index >= 0 && index < count);
}

// So many frames, evenly spread over all, the first and the last among them.
export function spread(count, wanted) {
  const most = Math.min(count, wanted);
  return Array.from({ length: most }, (_, at) => Math.round((at * (count - 1)) / Math.max(1, most - 1)));
}

// Bring in what is wanted, a few at a time, the first first, and keep what was used last within so many bytes.
// `read(key, signal)` gives { bytes, close?(), … }: what is kept no longer is closed. `changed()` is called
// whenever something has come or failed.
export function createLoader(read, changed, { bytesMax = KEPT_BYTES_MAX, together = 4 } = {}) {
  const kept = new Map();
  const failed = new Map();
  const running = new Map();
  let wanted = [];
  let total = 0;
  const evict = () => {
    for (const [key, loaded] of kept) {
      if (total <= bytesMax) return;
      if (key === wanted[0]) continue;
      kept.delete(key);
      total -= loaded.bytes;
      loaded.close?.();
    }
  };
  const start = async (key) => {
    const abort = new AbortController();
    running.set(key, abort);
    try {
      const loaded = await read(key, abort.signal);
      if (abort.signal.aborted) {
        loaded.close?.();
        return;
      }
      kept.set(key, loaded);
      total += loaded.bytes;
      evict();
    } catch (error) {
      if (abort.signal.aborted) return;
      failed.set(key, error);
    }
    running.delete(key);
    changed();
    next();
  };
  const next = () => {
    for (const key of wanted) {
      if (running.size >= together) return;
      if (!kept.has(key) && !failed.has(key) && !running.has(key)) start(key);
    }
  };
  const stop = (unwanted) => {
    for (const [key, abort] of running) {
      if (!unwanted(key)) continue;
      running.delete(key);
      abort.abort();
    }
  };
  return {
    want(keys) {
      wanted = keys;
      const still = new Set(keys);
      stop((key) => !still.has(key));
      next();
    },
    get(key) {
      const loaded = kept.get(key);
      if (loaded) {
        kept.delete(key);
        kept.set(key, loaded);
      }
      return loaded;
    },
    failure: (key) => failed.get(key),
    again() {
      failed.clear();
      next();
    },
    get bytes() {
      return total;
    },
    close() {
      wanted = [];
      stop(() => true);
      for (const loaded of kept.values()) loaded.close?.();
      kept.clear();
      total = 0;
    },
  };
}
