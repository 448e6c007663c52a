// A search as it is typed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { searchKeys } from "../../../src/fileroom/console/static/dicom/search.js";

test("a search has values by their keys, one given twice both times", () => {
  assert.deepEqual(searchKeys("Modality=CT&StudyDate=20240101-"), { Modality: ["CT"], StudyDate: ["20240101-"] });
  assert.deepEqual(searchKeys(" ?PatientName=Doe^J* "), { PatientName: ["Doe^J*"] });
  assert.deepEqual(searchKeys("PatientID=1&PatientID=2"), { PatientID: ["1", "2"] });
});

test("a key without value, or a value without key, is no search", () => {
  for (const text of ["Modality:CT", "Modality", "Modality=", "=CT", "PatientID=1&Modality", "PatientID= ", "", "&"]) {
    assert.equal(searchKeys(text), undefined, text);
  }
});
