// Seven calls of the Cloud Healthcare API, for the clients of dicom.mjs and dicom-googleapis.mjs.
import {createWriteStream, readFileSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import {parse} from 'node:querystring';
import {pipeline} from 'node:stream/promises';
import {setTimeout} from 'node:timers/promises';

const USAGE = 'usage: dicom.mjs import|export|store|search|retrieve|rendered|delete STORE ...';

/** Each call with the fewest and the most arguments that it takes. */
const CALLS = {
  import: [importInstances, 2, 2],
  export: [exportInstances, 2, 3],
  store: [storeInstance, 2, 2],
  search: [searchStudies, 1, 2],
  retrieve: [retrieveInstance, 5, 5],
  rendered: [retrieveRendered, 5, 5],
  delete: [deleteStudy, 2, 2],
};

/**
 * Signs each access token by the key file of GOOGLE_APPLICATION_CREDENTIALS.
 *
 * GoogleAuth would ask Google for one, whatever address the file names.
 */
export function bearerOfKeyFile(JWT) {
  const file = JSON.parse(readFileSync(process.env.GOOGLE_APPLICATION_CREDENTIALS, 'utf8'));
  const scopes = ['https://www.googleapis.com/auth/cloud-platform'];
  const {client_email: email, private_key: key, private_key_id: keyId} = file;
  const client = new JWT({email, key, keyId, scopes});
  client.useJWTAccessWithScope = true;
  return client;
}

/** Makes the call that the command line names, and sets the exit status. */
export async function run(client) {
  const [name, ...args] = process.argv.slice(2);
  const [call, fewest, most] = Object.hasOwn(CALLS, name) ? CALLS[name] : [];
  if (call === undefined || args.length < fewest || args.length > most) {
    console.error(USAGE);
    process.exitCode = 2;
    return;
  }
  try {
    await call(client.projects.locations.datasets, ...args);
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}

async function importInstances(datasets, store, uri) {
  const {data} = await datasets.dicomStores.import({
    name: store,
    requestBody: {gcsSource: {uri}},
  });
  await finish(datasets, data.name);
}

async function exportInstances(datasets, store, uriPrefix, mimeType) {
  const {data} = await datasets.dicomStores.export({
    name: store,
    requestBody: {gcsDestination: {uriPrefix, mimeType}},
  });
  await finish(datasets, data.name);
}

async function storeInstance(datasets, store, path) {
  const {data} = await datasets.dicomStores.storeInstances(
    {parent: store, dicomWebPath: 'studies', requestBody: await readFile(path)},
    {
      headers: {'Content-Type': 'application/dicom', Accept: 'application/dicom+json'},
      responseType: 'text',
    }
  );
  console.log(data);
}

async function searchStudies(datasets, store, query = '') {
  const {data} = await datasets.dicomStores.searchForStudies(
    {parent: store, dicomWebPath: 'studies'},
    {headers: {Accept: 'application/dicom+json'}, params: parse(query), responseType: 'json'}
  );
  console.log(JSON.stringify(data || []));
}

async function retrieveInstance(datasets, store, study, series, instance, path) {
  const {data} = await datasets.dicomStores.studies.series.instances.retrieveInstance(
    {parent: store, dicomWebPath: `studies/${study}/series/${series}/instances/${instance}`},
    {headers: {Accept: 'application/dicom; transfer-syntax=*'}, responseType: 'stream'}
  );
  await write(data, path);
}

async function retrieveRendered(datasets, store, study, series, instance, path) {
  const {data} = await datasets.dicomStores.studies.series.instances.retrieveRendered(
    {
      parent: store,
      dicomWebPath: `studies/${study}/series/${series}/instances/${instance}/rendered`,
    },
    {headers: {Accept: 'image/png'}, responseType: 'stream'}
  );
  await write(data, path);
}

async function deleteStudy(datasets, store, study) {
  const {data} = await datasets.dicomStores.studies.delete({
    parent: store,
    dicomWebPath: `studies/${study}`,
  });
  await finish(datasets, data.name);
}

async function write(body, path) {
  await pipeline(body, createWriteStream(path));
  console.log(`wrote ${path}`);
}

/** Waits until an operation is done; prints its counters, and what failed. */
async function finish(datasets, name) {
  let pauseMilliseconds = 200;
  let {data: operation} = await datasets.operations.get({name});
  while (!operation.done) {
    await setTimeout(pauseMilliseconds);
    pauseMilliseconds = Math.min(2 * pauseMilliseconds, 2000);
    ({data: operation} = await datasets.operations.get({name}));
  }

  console.log(JSON.stringify(operation.metadata.counter ?? {}));
  if (operation.error) {
    console.error(operation.error.message);
    for (const {resource, error} of operation.error.details?.[0]?.sampleErrors ?? []) {
      console.error(`${resource}: ${error.message}`);
    }
    process.exitCode = 1;
  }
}
