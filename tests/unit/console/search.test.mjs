// A search for studies, and lists of them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { listedPaths, NOTHING, studyKeys } from "../../../src/fileroom/console/static/dicom/search.js";

test("a search has the keys of what is filled in, and no others", () => {
  assert.deepEqual(studyKeys(NOTHING), {});
  assert.deepEqual(studyKeys({ ...NOTHING, id: " P1 ", modality: "ct, mr", from: "2024-01-02" }),
    { PatientID: "P1", ModalitiesInStudy: "CT,MR", StudyDate: "20240102-" });
  assert.deepEqual(studyKeys({ ...NOTHING, name: "doe", description: "knee" }),
    { PatientName: "doe", fuzzymatching: "true", StudyDescription: "*knee*" });
  assert.deepEqual(studyKeys({ ...NOTHING, name: "doe^j*", description: "knee?" }),
    { PatientName: "doe^j*", StudyDescription: "knee?" });
});

test("what is only blanks and commas asks for nothing", () => {
  assert.deepEqual(studyKeys({ ...NOTHING, name: " ", id: "  ", description: " ", modality: " ,, " }), {});
});

test("a line is a study's UID or a path", () => {
  const paths = (text) => listedPaths(text).map(({ path }) => path);
  assert.deepEqual(paths("1.2.3\n/studies/1.2.4/series/1.2.5\n\nstudies/1.2.6/series/1.7/instances/1.8\r\n1.2.3"),
    ["/studies/1.2.3", "/studies/1.2.4/series/1.2.5", "/studies/1.2.6/series/1.7/instances/1.8"]);
  assert.deepEqual(listedPaths("/studies/1.2/series/1.3"),
    [{ path: "/studies/1.2/series/1.3", study: "1.2", series: "1.3", instance: undefined }]);
});

test("a line that is neither has its text alone", () => {
  const long = `1.${"2".repeat(64)}`;
  for (const line of ["abc", "1.2.", "/studies/", "/studies/1.2/instances/1.3", "1.2/x", long, `/studies/${long}`]) {
    const [found] = listedPaths(line);
    assert.deepEqual([found.path, found.study], [line, undefined], line);
  }
});
