// Seven calls of the Cloud Healthcare API with @googleapis/healthcare, answered by Fileroom.
//
// Two lines differ from a program that calls Google:
//
//     rootUrl: 'https://healthcare.googleapis.com/'   is   rootUrl: `${process.env.…}/`
//     auth: new auth.GoogleAuth({scopes: […]})        is   auth: new auth.OAuth2(…)
//
// To run it, with Node.js 20 or newer:
//
//     npm install @googleapis/healthcare
//     export FILEROOM_SERVER=http://127.0.0.1:8080 FILEROOM_TOKEN=...
//     node dicom.mjs import   STORE gs://BUCKET/PATTERN
//     node dicom.mjs export   STORE gs://BUCKET/DIRECTORY [MIME_TYPE]
//     node dicom.mjs store    STORE FILE
//     node dicom.mjs search   STORE [QUERY]
//     node dicom.mjs retrieve STORE STUDY SERIES INSTANCE FILE
//     node dicom.mjs rendered STORE STUDY SERIES INSTANCE FILE
//     node dicom.mjs delete   STORE STUDY
//
// STORE is projects/P/locations/L/datasets/D/dicomStores/S,
// QUERY is URL-encoded, such as "PatientName=Smith*&limit=5".
import {auth, healthcare} from '@googleapis/healthcare';
import {bearerOfKeyFile, run} from './calls.mjs';

const client = healthcare({
  version: 'v1',
  rootUrl: `${process.env.FILEROOM_SERVER}/`,
  auth: process.env.FILEROOM_TOKEN
    ? new auth.OAuth2({credentials: {access_token: process.env.FILEROOM_TOKEN}})
    : bearerOfKeyFile(auth.JWT),
});

await run(client);
