// Lines for a shell or a program to be copied: whatever is in a name, it stays one word of them.

const WIDTH = 78;

// Text as one word of a shell.
export function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// A command of its words, then its flags by name; those without a value are left out.
export function command(words, flags = {}) {
  const given = Object.entries(flags).filter(([, value]) => value);
  const lines = [words.map(quoted).join(" ")];
  for (const flag of given.map(([name, value]) => `--${name}=${quoted(value)}`)) {
    if (lines.at(-1).length + flag.length < WIDTH) lines.push(`${lines.pop()} ${flag}`);
    else lines.push(`  ${flag}`);
  }
  return lines.join(" \\\n");
}

// A command of `gcloud healthcare`, on what is in a dataset or on the dataset itself.
export function gcloud(words, { project, location, dataset }, flags = {}) {
  return command(["gcloud", "healthcare", ...words], { dataset, location, project, ...flags });
}

// The curl line of one call of the API.
export function curl(verb, path, body) {
  const lines = [`curl -X ${verb} -H "Authorization: Bearer $TOKEN"`];
  if (body) lines.push(`  -H "Content-Type: application/json" -d ${quoted(JSON.stringify(body))}`);
  lines.push(`  ${quoted(location.origin + path)}`);
  return lines.join(" \\\n");
}

// Text as a literal of Python.
export function literal(text) {
  return JSON.stringify(text);
}
