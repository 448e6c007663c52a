// The program dicom.mjs with Google's package googleapis, which has every API of Google.
//
// Two lines differ from a program that calls Google:
//
//     rootUrl: 'https://healthcare.googleapis.com/'       is   rootUrl: `${process.env.…}/`
//     auth: new google.auth.GoogleAuth({scopes: […]})     is   auth: new google.auth.OAuth2(…)
//
// To run it: npm install googleapis, then as dicom.mjs.
import {google} from 'googleapis';
import {bearerOfKeyFile, run} from './calls.mjs';

const client = google.healthcare({
  version: 'v1',
  rootUrl: `${process.env.FILEROOM_SERVER}/`,
  auth: process.env.FILEROOM_TOKEN
    ? new google.auth.OAuth2({credentials: {access_token: process.env.FILEROOM_TOKEN}})
    : bearerOfKeyFile(google.auth.JWT),
});

await run(client);
