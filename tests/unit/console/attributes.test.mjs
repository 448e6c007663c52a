// Reading DICOM JSON.

import assert from "node:assert/strict";
import { test } from "node:test";

import { date, keyword, patientName, treeRows, valueText } from "../../../src/fileroom/console/static/dicom/attributes.js";

const KEYWORDS = { "00100010": "PatientName", "00081140": "ReferencedImageSequence", "00081155": "ReferencedSOPInstanceUID",
  "00080060": "Modality", "60xx3000": "OverlayData" };
const DATA_SET = {
  "00100010": { vr: "PN", Value: [{ Alphabetic: "Doe^Jane", Ideographic: "雌鹿" }] },
  "00080060": { vr: "CS", Value: ["CT"] },
  "00081140": { vr: "SQ", Value: [
    { "00081155": { vr: "UI", Value: ["1.2.3"] } },
    { "00081155": { vr: "UI", Value: ["1.2.4"] } },
  ] },
};

const paths = (options) => treeRows(DATA_SET, { keywords: KEYWORDS, ...options }).rows.map((row) => row.path);

test("a name is told as it is read", () => {
  assert.equal(patientName(DATA_SET), "Doe, Jane");
  assert.equal(patientName({ "00100010": { vr: "PN", Value: [{ Ideographic: "雌鹿" }] } }), "雌鹿");
  assert.equal(patientName({ "00100010": { vr: "PN" } }), "");
  assert.equal(valueText(DATA_SET["00100010"]), "Doe^Jane=雌鹿");
});

test("a date that is none stays as it is", () => {
  assert.equal(date("20240102"), "2024-01-02");
  assert.equal(date("1997.04.24"), "1997-04-24");
  assert.equal(date("2024"), "2024");
});

test("groups that repeat and private creators have keywords", () => {
  assert.equal(keyword("60023000", KEYWORDS), "OverlayData");
  assert.equal(keyword("00190010", KEYWORDS), "PrivateCreator");
  assert.equal(keyword("00191001", KEYWORDS), "");
});

test("a sequence shows its items once it is open", () => {
  assert.deepEqual(paths({}), ["/00080060", "/00081140", "/00100010"]);
  assert.deepEqual(paths({ open: new Set(["/00081140"]) }).slice(1, 6), [
    "/00081140", "/00081140/0", "/00081140/0/00081155", "/00081140/1", "/00081140/1/00081155",
  ]);
});

test("a search finds tags, keywords and values, in items too, with what leads there", () => {
  assert.deepEqual(paths({ wanted: "jane" }), ["/00100010"]);
  assert.deepEqual(paths({ wanted: "(0010,0010)" }), ["/00100010"]);
  assert.deepEqual(paths({ wanted: "MODAL" }), ["/00080060"]);
  assert.deepEqual(paths({ wanted: "1.2.4" }), ["/00081140", "/00081140/1", "/00081140/1/00081155"]);
  assert.deepEqual(paths({ wanted: "ImageSequence" }), ["/00081140"]);
  assert.deepEqual(paths({ wanted: "nothing" }), []);
});

test("no more rows are made than are asked for", () => {
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [
    `0009${index.toString(16).padStart(4, "0")}`, { vr: "LO", Value: ["x"] }]));
  const { rows, more } = treeRows(many, { limit: 10 });
  assert.equal(rows.length, 10);
  assert.equal(more, true);
});
