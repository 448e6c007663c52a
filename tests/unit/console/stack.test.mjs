// The order of a series, and bringing its frames in.

import assert from "node:assert/strict";
import { test } from "node:test";

import { around, createLoader, framesOf, inOrder, spread } from "../../../src/fileroom/console/static/dicom/stack.js";

function slice(number, z, more = {}) {
  return {
    "00080018": { Value: [`1.${number}.${z}`] },
    "00200013": { Value: [number] },
    ...(z !== undefined && { "00200032": { Value: [0, 0, z] }, "00200037": { Value: [1, 0, 0, 0, 1, 0] } }),
    ...more,
  };
}

const order = (instances) => inOrder(instances).map((each) => each["00200013"].Value[0]);

test("slices follow one another in space, in the direction of their numbers", () => {
  assert.deepEqual(order([slice(3, 10), slice(1, 30), slice(9, 20)]), [1, 9, 3]);
  assert.deepEqual(order([slice(3, 30), slice(1, 10), slice(9, 20)]), [1, 9, 3]);
});

test("numbers tell the order where places do not", () => {
  assert.deepEqual(order([slice(2, 10), slice(1, 30), slice(3, 10)]), [1, 2, 3]);
  assert.deepEqual(order([slice(2), slice(1, 30), slice(3, 10)]), [1, 2, 3]);
  const scout = slice(1, 5, { "00200037": { Value: [0, 1, 0, 0, 0, -1] } });
  assert.deepEqual(order([slice(3, 1), slice(2, 9), scout]), [1, 2, 3]);
});

test("each frame of an instance is one of the stack", () => {
  const frames = framesOf([slice(2), slice(1, undefined, { "00280008": { Value: ["3"] } }), slice(3)]);
  assert.equal(frames.length, 5);
  const shown = [0, 1, 2, 3, 4].map((index) => frames.at(index));
  assert.deepEqual(shown.map(({ instance, frame }) => [instance["00200013"].Value[0], frame]),
    [[1, 1], [1, 2], [1, 3], [2, 1], [3, 1]]);
  assert.equal(frames.at(5), undefined);
  assert.equal(framesOf([]).at(0), undefined);
});

test("an instance may say that it has any number of frames", () => {
  const saying = (count) => framesOf([slice(1), slice(2, undefined, { "00280008": { Value: [count] } })]);
  assert.equal(saying(2_000_000_000).length, 2_000_000_001);
  assert.equal(saying(2_000_000_000).at(2_000_000_000).frame, 2_000_000_000);
  for (const odd of ["1A", "1e999", 0, -5]) assert.equal(saying(odd).length, 2);
});

test("neighbours are wanted after the frame itself, most of them ahead", () => {
  assert.deepEqual(around(5, 10, 1, 3), [5, 6, 4, 7, 8]);
  assert.deepEqual(around(0, 10, -1, 3), [0, 1]);
});

test("frames are spread from the first to the last", () => {
  assert.deepEqual(spread(15, 4), [0, 5, 9, 14]);
  assert.deepEqual(spread(3, 24), [0, 1, 2]);
  assert.deepEqual(spread(1, 24), [0]);
  assert.deepEqual(spread(0, 24), []);
});

const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

test("what is no longer wanted is not waited for", async () => {
  const asked = [];
  const aborted = [];
  const read = (key, signal) => new Promise(() => {
    asked.push(key);
    signal.addEventListener("abort", () => aborted.push(key));
  });
  const loader = createLoader(read, () => {}, { together: 2 });
  loader.want(["1", "2", "3"]);
  assert.deepEqual(asked, ["1", "2"]);
  loader.want(["9", "2"]);
  assert.deepEqual(aborted, ["1"]);
  assert.deepEqual(asked, ["1", "2", "9"]);
});

test("frames are kept within so many bytes, those used last", async () => {
  const loader = createLoader(async (key) => ({ key, bytes: 40 }), () => {}, { bytesMax: 100, together: 1 });
  for (const key of ["a", "b"]) {
    loader.want([key]);
    await settled();
  }
  loader.get("a");
  loader.want(["c"]);
  await settled();
  assert.equal(loader.bytes, 80);
  assert.deepEqual(["a", "b", "c"].map((key) => Boolean(loader.get(key))), [true, false, true]);
});

test("what is kept no longer is closed, and what comes too late", async () => {
  const closed = [];
  const waiting = new Map();
  const read = (key) => new Promise((resolve) => {
    waiting.set(key, () => resolve({ bytes: 40, close: () => closed.push(key) }));
  });
  const loader = createLoader(read, () => {}, { bytesMax: 100, together: 1 });
  for (const key of ["a", "b", "c"]) {
    loader.want([key]);
    waiting.get(key)();
    await settled();
  }
  assert.deepEqual(closed, ["a"]);
  loader.want(["d"]);
  loader.close();
  waiting.get("d")();
  await settled();
  assert.deepEqual(closed, ["a", "b", "c", "d"]);
  assert.equal(loader.bytes, 0);
});

test("a failure is told, and tried again when asked to", async () => {
  let fails = true;
  const loader = createLoader(async () => {
    if (fails) throw new Error("no");
    return { bytes: 1 };
  }, () => {});
  loader.want(["a"]);
  await settled();
  assert.equal(loader.failure("a").message, "no");
  fails = false;
  loader.again();
  await settled();
  assert.ok(loader.get("a"));
});
