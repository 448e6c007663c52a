// Imports objects of a bucket with Google's Node.js client; only root URL and token are ours.
// Usage: FILEROOM_SERVER=… FILEROOM_TOKEN=… node examples/import.mjs DICOM_STORE_NAME GS_URI
import {auth, healthcare} from '@googleapis/healthcare';
import {setTimeout} from 'node:timers/promises';

const [name, uri] = process.argv.slice(2);
const credentials = new auth.OAuth2();
credentials.setCredentials({access_token: process.env.FILEROOM_TOKEN});
const client = healthcare({
  version: 'v1',
  rootUrl: `${process.env.FILEROOM_SERVER}/`,
  auth: credentials,
});

const started = await client.projects.locations.datasets.dicomStores.import({
  name,
  requestBody: {gcsSource: {uri}},
});
let operation = started.data;
while (!operation.done) {
  await setTimeout(100);
  ({data: operation} = await client.projects.locations.datasets.operations.get({name: operation.name}));
}
const answer = {counter: operation.metadata.counter};
if (operation.error !== undefined) {
  answer.sampleError = operation.error.details[0].sampleErrors[0];
}
console.log(JSON.stringify(answer));
