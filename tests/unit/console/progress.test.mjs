// What an operation's JSON says, and how fast it goes.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as progress from "../../../src/fileroom/console/static/progress.js";

const STORE = "projects/p/locations/l/datasets/d/dicomStores/main";

function ended(error, counter) {
  return { done: true, error, metadata: { counter } };
}

test("each state is told from the others", () => {
  assert.equal(progress.stateOf({ metadata: {} }), "running");
  assert.equal(progress.stateOf({ metadata: { cancelRequested: true } }), "stopping");
  assert.equal(progress.stateOf({ metadata: { fileroom: { pausedWhy: "no space" } } }), "paused");
  assert.equal(progress.stateOf({ done: true, response: {}, metadata: {} }), "done");
  assert.equal(progress.stateOf(ended({ code: 1 }, { success: "3" })), "cancelled");
  assert.equal(progress.stateOf(ended({ code: 2 }, { success: "3", failure: "1" })), "partlyFailed");
  assert.equal(progress.stateOf(ended({ code: 2 }, { failure: "4" })), "failed");
  assert.equal(progress.stateOf(ended({ code: 5 })), "failed");
});

test("the request tells the store and where it reads, writes or works", () => {
  const of = (request) => progress.requestOf({ metadata: { fileroomRequest: request } });

  assert.deepEqual(of({ name: STORE, gcsSource: { uri: "gs://b/**" } }),
    { dicomStore: "main", source: "gs://b/**", destination: "", place: "gs://b/**" });
  assert.equal(of({ name: STORE, gcsDestination: { uriPrefix: "gs://b/out" } }).destination, "gs://b/out");
  assert.equal(of({ name: `${STORE}/dicomWeb/studies/1.2` }).place, "studies/1.2");
  assert.deepEqual(progress.requestOf({ metadata: {} }), { dicomStore: "", source: "", destination: "", place: "" });
});

test("the rate is that of the last twenty seconds", () => {
  let readings = [];
  for (const [seconds, count] of [[0, 0], [10, 1000], [20, 1100], [30, 1200]]) {
    readings = progress.withReading(readings, seconds, count);
  }

  assert.equal(progress.rateOf(readings), 10);
  assert.equal(progress.remainingOf(readings, 1300), 10);
  assert.equal(progress.remainingOf(readings, undefined), undefined);
});

test("there is no rate before anything moved, and one after a long silence", () => {
  assert.equal(progress.rateOf([]), undefined);
  assert.equal(progress.rateOf([{ seconds: 0, count: 0 }]), undefined);
  assert.equal(progress.rateOf([{ seconds: 0, count: 5 }, { seconds: 1, count: 5 }]), undefined);
  assert.equal(progress.rateOf([{ seconds: 0, count: 0 }, { seconds: 100, count: 50 }]), 0.5);
});

test("a plot has the objects per second at each reading but the first", () => {
  const readings = [[0, 0], [1, 10], [2, 40], [3, 40]].map(([seconds, count]) => ({ seconds, count }));

  assert.deepEqual(progress.throughput(readings, 1), [[1, 2, 3], [10, 30, 0]]);
  assert.deepEqual(progress.throughput([], 1), [[], []]);
});

test("the readings of a day stay few, and the last one is among them", () => {
  let readings = [];
  for (let seconds = 0; seconds < 86_400; seconds += 1) readings = progress.withReading(readings, seconds, seconds * 2);

  assert.ok(readings.length <= 2000);
  assert.deepEqual(readings.at(-1), { seconds: 86_399, count: 172_798 });
  assert.equal(progress.rateOf(readings), 2);
});

test("the duration goes on until the end", () => {
  const operation = { metadata: { createTime: "2026-01-01T00:00:00Z" } };

  assert.equal(progress.durationOf(operation, Date.parse("2026-01-01T00:00:05Z")), 5);
  operation.metadata.endTime = "2026-01-01T00:00:02.500Z";
  assert.equal(progress.durationOf(operation, Date.parse("2026-01-01T00:00:05Z")), 2.5);
  assert.equal(progress.durationOf({}, 0), undefined);
});

test("figures are told but those that are nothing and cannot be otherwise", () => {
  const told = (method, fileroom) => progress.toldOf({ done: true, metadata: {
    apiMethodName: `google.cloud.healthcare.v1.dicom.DicomService.${method}`, fileroom } });
  const account = { listed: "2", exported: "2", unchanged: "0", failed: "0", pending: "0", notStarted: "0" };

  assert.deepEqual(told("ExportDicomData", account), ["listed", "exported", "failed"]);
  assert.deepEqual(told("UpdateStudyMetadata", { listed: "1", updated: "1", unchanged: "0" }),
    ["listed", "unchanged", "updated"]);
  assert.deepEqual(told("ImportDicomData", undefined), []);
});

test("an operation on a study names it", () => {
  const request = { name: "projects/p/locations/l/datasets/d/dicomStores/s", path: "studies/1.2" };
  const { dicomStore, place } = progress.requestOf({ metadata: { fileroomRequest: request } });

  assert.deepEqual([dicomStore, place], ["s", "studies/1.2"]);
});
