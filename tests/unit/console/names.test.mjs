// Where buckets are, and how an address is read.

import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.navigator ??= {};
const { bucketPath, bucketRoute, bucketUri, uploadRoute } = await import(
  "../../../src/fileroom/console/static/names.js");
const { match } = await import("../../../src/fileroom/console/static/router.js");

test("a bucket of Cloud Storage is named plainly, others by their URI", () => {
  assert.equal(bucketUri("scans"), "gs://scans");
  assert.equal(bucketUri("s3://scans"), "s3://scans");
  assert.equal(bucketUri("az://scans"), "az://scans");
});

test("a bucket's name is one segment of a route", () => {
  assert.equal(bucketRoute("s3://scans"), "/storage/v1/b/s3%3A%2F%2Fscans");
  assert.equal(uploadRoute("scans"), "/upload/storage/v1/b/scans/o");
  assert.deepEqual(match("/buckets/:bucket", bucketPath("s3://scans")), { bucket: "s3://scans" });
});

test("an address that is no UTF-8 is that of no page", () => {
  assert.equal(match("/buckets/:bucket", "/buckets/%E0%A4%A"), null);
  assert.equal(match("/", "/buckets"), null);
  assert.deepEqual(match("/", "/"), {});
});
