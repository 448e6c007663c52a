// Files on their way to a bucket.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createUploads } from "../../../src/fileroom/console/static/uploads.js";

const files = (count, open = () => "bytes") => Array.from({ length: count }, (_, index) => ({ name: `${index}`, open }));

test("all that fail are counted, a hundred are listed", async () => {
  let told;
  const refuse = async () => {
    throw new Error("no");
  };
  await createUploads(refuse, (account) => (told = account)).take(files(150));
  assert.deepEqual([told.total, told.sent, told.failed, told.failures.length], [150, 0, 150, 100]);
});

test("a file that cannot be read fails alone", async () => {
  let told;
  const sent = [];
  const uploads = createUploads(async (name) => sent.push(name), (account) => (told = account));
  const unreadable = { name: "gone", open: () => Promise.reject(new Error("gone")) };
  await uploads.take([unreadable, ...files(2)]);
  assert.deepEqual(sent, ["0", "1"]);
  assert.deepEqual([told.sent, told.failed, told.failures[0].name], [2, 1, "gone"]);
});

test("what is dropped meanwhile waits, and is counted with the rest; what comes later is not", async () => {
  let told;
  let running = 0;
  const send = async () => {
    running += 1;
    assert.equal(running, 1);
    await new Promise((resolve) => setTimeout(resolve, 1));
    running -= 1;
  };
  const uploads = createUploads(send, (account) => (told = account));
  const first = uploads.take(files(3));
  await uploads.take(files(2));
  assert.deepEqual([told.total, told.sent], [5, 0]);
  await first;
  assert.deepEqual([told.total, told.sent], [5, 5]);
  await uploads.take(files(1));
  assert.deepEqual([told.total, told.sent], [1, 1]);
});

test("nothing more is sent once the page is left", async () => {
  const told = [];
  let sent = 0;
  const uploads = createUploads(async (name, file, signal) => {
    sent += 1;
    await new Promise((resolve, reject) => signal.addEventListener("abort", () => reject(new Error("abort"))));
  }, (account) => told.push(account));
  const all = uploads.take(files(3));
  await new Promise((resolve) => setTimeout(resolve, 1));
  uploads.close();
  await all;
  assert.equal(sent, 1);
  assert.equal(told.length, 1);
});
