// Calls one method of the client library dicomweb-client and tells what it gave, bytes in base64.
// Input: {url, token, method, options, datasets} as JSON; datasets are files to store, in base64.
import {readFileSync} from 'node:fs';
import dicomweb from 'dicomweb-client';
import XMLHttpRequest from 'xhr2';

globalThis.XMLHttpRequest = XMLHttpRequest;

const told = (value) => {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    return {bytes: Buffer.from(value).toString('base64')};
  }
  return Array.isArray(value) ? value.map(told) : value;
};

const {url, token, method, options, datasets} = JSON.parse(readFileSync(0, 'utf8'));
const client = new dicomweb.api.DICOMwebClient({
  url,
  headers: {Authorization: `Bearer ${token}`},
  verbose: false,
});
if (datasets !== undefined) {
  options.datasets = datasets.map((file) => new Uint8Array(Buffer.from(file, 'base64')));
}
try {
  console.log(JSON.stringify({gave: told(await client[method](options))}));
} catch (error) {
  if (error.status === undefined) {
    throw error;
  }
  console.log(JSON.stringify({status: error.status}));
}
