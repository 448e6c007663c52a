// A ZIP archive of files as they are, put together in the browser (APPNOTE.TXT 4.3: stored entries).

export const ZIP_BYTES_MAX = 2 * 1024 ** 3;
export const ZIP_FILES_MAX = 65_534;

const TABLE = Uint32Array.from({ length: 256 }, (_, start) => {
  let code = start;
  for (let bit = 0; bit < 8; bit += 1) code = code & 1 ? (code >>> 1) ^ 0xedb88320 : code >>> 1;
  return code;
});

export function crc32(bytes) {
  let code = 0xffffffff;
  for (let at = 0; at < bytes.length; at += 1) code = (code >>> 8) ^ TABLE[(code ^ bytes[at]) & 0xff];
  return (code ^ 0xffffffff) >>> 0;
}

// `add(name, bytes)` for each file, then `finish()` gives the archive as a Blob.
export function createZip(now = new Date()) {
  const parts = [];
  const entries = [];
  const stamp = dosTime(now);
  let offset = 0;
  const put = (part, length) => {
    parts.push(part);
    offset += length;
  };
  return {
    add(name, bytes) {
      const entry = { name: new TextEncoder().encode(name), size: bytes.length, code: crc32(bytes), offset };
      entries.push(entry);
      const head = fields([4, 0x04034b50], ...shared(entry, stamp), [2, 0]);
      put(head, head.length);
      put(entry.name, entry.name.length);
      // As a Blob the browser may keep it on disk.
      put(new Blob([bytes]), bytes.length);
    },
    finish() {
      const start = offset;
      for (const entry of entries) {
        const record = fields([4, 0x02014b50], [2, 20], ...shared(entry, stamp),
          [2, 0], [2, 0], [2, 0], [2, 0], [4, 0], [4, entry.offset]);
        put(record, record.length);
        put(entry.name, entry.name.length);
      }
      const size = offset - start;
      put(fields([4, 0x06054b50], [2, 0], [2, 0], [2, entries.length], [2, entries.length],
        [4, size], [4, start], [2, 0]), 22);
      return new Blob(parts, { type: "application/zip" });
    },
  };
}

// What the head of an entry and its record in the directory have in common.
function shared({ name, size, code }, [time, date]) {
  return [[2, 20], [2, 0x0800], [2, 0], [2, time], [2, date], [4, code], [4, size], [4, size], [2, name.length]];
}

function fields(...given) {
  const bytes = new Uint8Array(given.reduce((sum, [width]) => sum + width, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [width, number] of given) {
    if (width === 2) view.setUint16(at, number, true);
    else view.setUint32(at, number, true);
    at += width;
  }
  return bytes;
}

function dosTime(when) {
  return [
    (when.getHours() << 11) | (when.getMinutes() << 5) | (when.getSeconds() >> 1),
    (Math.max(0, when.getFullYear() - 1980) << 9) | ((when.getMonth() + 1) << 5) | when.getDate(),
  ];
}
