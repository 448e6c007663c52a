// A search as it is typed: `Keyword=value`, several joined by `&`.

// The values of each key, or undefined if a key has no value or a value no key: the server is not told of
// those, and would find everything.
export function searchKeys(text) {
  const keys = {};
  for (const [key, value] of new URLSearchParams(text.trim())) {
    if (!key.trim() || !value.trim()) return undefined;
    (keys[key.trim()] ||= []).push(value.trim());
  }
  return Object.keys(keys).length ? keys : undefined;
}
