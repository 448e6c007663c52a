// The DICOM store that was looked at last in this tab, for pages that belong to none.

import { onSession } from "./session.js";

let place;
onSession(() => (place = undefined));

export function recentStore() {
  return place;
}

export function noteStore({ project, location, dataset, dicomStore }) {
  place = { project, location, dataset, dicomStore };
}
