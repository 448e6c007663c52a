// Data sets as DICOM JSON tells them: values by tag, and all of them as rows of a tree.

export function values(dataSet, tag) {
  return dataSet?.[tag]?.Value || [];
}

// The first value of an attribute; undefined without one.
export function value(dataSet, tag) {
  return values(dataSet, tag)[0] ?? undefined;
}

export function numbers(dataSet, tag) {
  return values(dataSet, tag).map(Number);
}

// `Phantom^Paula` as `Phantom, Paula`.
export function personName(name) {
  const shown = name?.Alphabetic || name?.Ideographic || name?.Phonetic || "";
  const [family, ...others] = shown.split("^");
  const given = others.filter(Boolean).join(" ");
  return family && given ? `${family}, ${given}` : family || given;
}

export function patientName(dataSet) {
  return personName(value(dataSet, "00100010"));
}

// `20240102` as `2024-01-02`, and `2024.01.02`, as it was once written; anything else stays as it is.
export function date(text) {
  const found = /^(\d{4})\.?(\d{2})\.?(\d{2})$/.exec(text || "");
  return found ? found.slice(1).join("-") : text || "";
}

export function time(text) {
  const found = /^(\d{2})(\d{2})/.exec(text || "");
  return found ? found.slice(1).join(":") : text || "";
}

// `00100010` as `(0010,0010)`.
export function tagText(tag) {
  return `(${tag.slice(0, 4)},${tag.slice(4)})`;
}

// The keyword of a tag; groups that repeat, such as 6002, are in the dictionary as `60xx3000`.
export function keyword(tag, keywords) {
  const known = keywords[tag] || keywords[`${tag.slice(0, 2)}xx${tag.slice(4)}`];
  if (known) return known;
  if (parseInt(tag.slice(3, 4), 16) % 2 === 0) return "";
  return /^00[1-9A-F]/.test(tag.slice(4)) ? "PrivateCreator" : "";
}

// What an attribute holds, as one line of text.
export function valueText(element) {
  return (element.Value || []).map((each) => {
    if (each === null) return "";
    if (typeof each !== "object") return String(each);
    return [each.Alphabetic, each.Ideographic, each.Phonetic].map((part) => part || "").join("=").replace(/=+$/, "");
  }).join("\\");
}

// The bytes of a value that is told inline.
export function inlineBytes(element) {
  return Uint8Array.from(atob(element.InlineBinary), (letter) => letter.charCodeAt(0));
}

// Rows of the tree, at most `limit`: `open` has the paths of the sequences and items that are open. With
// `wanted` only what holds this text in tag, keyword or value, wherever it is, and what leads there.
export function treeRows(dataSet, { keywords = {}, open = new Set(), wanted = "", limit = 1000 } = {}) {
  const rows = [];
  const sought = wanted.trim().toLowerCase();
  walk(dataSet, "", 0, { keywords, open, sought, limit, rows });
  return { rows: rows.slice(0, limit), more: rows.length > limit };
}

function walk(dataSet, above, depth, tree) {
  for (const tag of Object.keys(dataSet).sort()) {
    if (tree.rows.length > tree.limit) return;
    const element = dataSet[tag];
    const path = `${above}/${tag}`;
    const row = { path, depth, tag, element, vr: element.vr || "", keyword: keyword(tag, tree.keywords) };
    if (element.vr !== "SQ") {
      row.text = valueText(element);
      if (holds(row, tree.sought)) tree.rows.push(row);
      continue;
    }
    walkItems(row, element.Value || [], tree);
  }
}

function walkItems(row, items, tree) {
  const isFound = tree.sought && holds({ ...row, text: "" }, tree.sought);
  const isOpen = tree.open.has(row.path);
  const before = tree.rows.length;
  const head = { ...row, items: items.length };
  tree.rows.push(head);
  if (isOpen || tree.sought) {
    for (const [index, item] of items.entries()) {
      if (tree.rows.length > tree.limit) return;
      const path = `${row.path}/${index}`;
      const start = tree.rows.length;
      tree.rows.push({ path, depth: row.depth + 1, item: index + 1 });
      walk(item || {}, path, row.depth + 2, isFound && isOpen ? { ...tree, sought: "" } : tree);
      if (tree.sought && tree.rows.length === start + 1) tree.rows.pop();
    }
  }
  const holdsRows = tree.rows.length > before + 1;
  head.isOpen = isOpen || holdsRows;
  if (tree.sought && !isFound && !holdsRows) tree.rows.pop();
}

function holds(row, sought) {
  if (!sought) return true;
  const digits = sought.replace(/[(),\s]/g, "");
  return row.keyword.toLowerCase().includes(sought)
    || (digits.length > 3 && row.tag.toLowerCase().startsWith(digits))
    || row.text.toLowerCase().includes(sought);
}
