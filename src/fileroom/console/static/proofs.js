// What proves who somebody is, other than an access token of their own: a key file, or an OpenID provider.

import { ApiError } from "./api.js";

const HELD = "fileroom.signIn";
const HOUR = 3600;

function encoded(bytes) {
  const text = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function encodedJson(value) {
  return encoded(new TextEncoder().encode(JSON.stringify(value)));
}

// Give the assertion that the account of a key file signs; `now` is in seconds.
export async function assertionOf(file, now = Math.floor(Date.now() / 1000)) {
  const text = file.private_key.replace(/-----[A-Z ]+-----|\s/g, "");
  const key = await crypto.subtle.importKey(
    "pkcs8",
    Uint8Array.from(atob(text), (each) => each.charCodeAt(0)),
    { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const header = { alg: "RS256", typ: "JWT", kid: file.private_key_id };
  const claims = { iss: file.client_email, aud: file.token_uri, iat: now, exp: now + HOUR };
  const signed = `${encodedJson(header)}.${encodedJson(claims)}`;
  const bytes = new TextEncoder().encode(signed);
  return `${signed}.${encoded(await crypto.subtle.sign("RSASSA-PKCS1-v1_5", key, bytes))}`;
}

// Read the text of a key file; undefined if it is none.
export function keyFileOf(text) {
  try {
    const file = JSON.parse(text);
    return file.type === "service_account" && file.private_key && file.client_email ? file : undefined;
  } catch {
    return undefined;
  }
}

// Give the access token for an assertion, or for a provider's code.
export async function tokenFor(fields) {
  let response;
  try {
    response = await fetch("/token", { method: "POST", body: new URLSearchParams(fields) });
  } catch {
    throw new ApiError(0, "UNAVAILABLE", "");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const told = answer.error_description || answer.error?.message || response.statusText;
    throw new ApiError(response.status, "", told);
  }
  return answer.access_token;
}

// Give the access token of the account of a key file.
export async function tokenOfKey(file) {
  const grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
  return tokenFor({ grant_type, assertion: await assertionOf(file) });
}

// Go to an OpenID provider; whoever signs in there comes back to `/console/signed-in`.
export async function goToProvider(issuer) {
  const drawn = () => encoded(crypto.getRandomValues(new Uint8Array(32)));
  const held = { issuer, state: drawn(), verifier: drawn(), from: location.pathname + location.search };
  sessionStorage.setItem(HELD, JSON.stringify(held));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(held.verifier));
  const query = new URLSearchParams({ issuer, state: held.state, codeChallenge: encoded(digest) });
  location.assign(`/sign-in?${query}`);
}

// Give the token of who came back from a provider, and where they were before.
export async function tokenOfReturn(query) {
  const held = JSON.parse(sessionStorage.getItem(HELD) || "{}");
  sessionStorage.removeItem(HELD);
  const code = query.get("code");
  if (!code || !held.state || query.get("state") !== held.state) {
    throw new ApiError(400, "", query.get("error_description") || query.get("error") || "");
  }
  const grant_type = "authorization_code";
  const token = await tokenFor({ grant_type, issuer: held.issuer, code, code_verifier: held.verifier });
  return { token, from: held.from };
}
