// A search for studies, from what is typed to what DICOMweb takes.

export const NOTHING = { name: "", id: "", accession: "", description: "", from: "", to: "", modality: "" };

// The keys of a search: words begin those of a name, text is anywhere. None of them means all.
export function studyKeys({ name, id, accession, description, from, to, modality }) {
  const keys = {
    PatientName: name.trim(),
    PatientID: id.trim(),
    AccessionNumber: accession.trim(),
    StudyDescription: description.trim() && withWildcards(description.trim()),
    StudyDate: from || to ? `${digits(from)}-${digits(to)}` : "",
    ModalitiesInStudy: modality.toUpperCase().split(/[\s,\\]+/).filter(Boolean).join(","),
    fuzzymatching: name.trim() && !/[*?]/.test(name) ? "true" : "",
  };
  return Object.fromEntries(Object.entries(keys).filter(([, wanted]) => wanted));
}

function withWildcards(text) {
  return /[*?]/.test(text) ? text : `*${text}*`;
}

function digits(day) {
  return day.replaceAll("-", "");
}

const UID = "(?=[0-9.]{1,64}(?:/|$))[0-9]+(?:\\.[0-9]+)*";
const PATH = new RegExp(`^/?studies/(${UID})(?:/series/(${UID})(?:/instances/(${UID}))?)?$`);
const STUDY = new RegExp(`^(${UID})$`);

// The paths that a list names, one a line, as { path, study, series, instance }; a UID alone is a study's. Of
// what is neither UID nor path there is the path only.
export function listedPaths(text) {
  const lines = text.split(/\s+/).filter(Boolean);
  return [...new Set(lines)].map((line) => {
    const [, study, series, instance] = PATH.exec(line) || STUDY.exec(line) || [];
    const below = [study, series && `series/${series}`, instance && `instances/${instance}`].filter(Boolean);
    return { path: study ? `/studies/${below.join("/")}` : line, study, series, instance };
  });
}
