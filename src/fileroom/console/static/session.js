// Who is signed in. The token stays in this tab: no URL and no other origin ever sees it.

const KEY = "fileroom.token";
const listeners = new Set();

export function token() {
  return sessionStorage.getItem(KEY) || "";
}

export function signIn(text) {
  sessionStorage.setItem(KEY, text.trim());
  tell();
}

export function signOut() {
  sessionStorage.removeItem(KEY);
  tell();
}

// Call `listener` whenever somebody signs in or out; gives the way to stop it.
export function onSession(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell() {
  for (const listener of listeners) listener();
}
