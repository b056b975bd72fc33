// The page's requests to the server. The token, if one is needed, is kept in this tab's storage and nowhere else.

const KEY = "shibudb-token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** A refusal by the server, with its message. */
export class Refusal extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  const response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  if (response.ok) return response;
  const words = await response.json().then((body) => body.error, () => `the server answered ${response.status}`);
  throw new Refusal(response.status, words);
}

/** Whether the server needs a token that this tab does not have. It logs a request without one as an intrusion. */
export async function isTokenMissing() {
  if (token.get()) return false;
  const response = await fetch("/", { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(15000) });
  return response.headers.has("WWW-Authenticate");
}

export const get = async (path) => (await ask(path, { signal: AbortSignal.timeout(15000) })).json();

/** Requests a change. `body` is a JSON document as text, or undefined. */
export async function change(method, path, body) {
  const options = { method, signal: AbortSignal.timeout(35000), headers: { "Content-Type": "application/json" } };
  if (body !== undefined) options.body = body;
  return (await ask(path, options)).json();
}

/**
 * Follows /events. Not an EventSource, which cannot send a token. `opened` is called once the server has let us
 * in: whatever is read from then on misses nothing. Returns when the server ends it, throws when it is gone.
 */
export async function follow(signal, opened, heard) {
  const response = await ask("/events", { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  opened();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const field = (name) => block.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (field("data")) heard(field("event"), JSON.parse(field("data")));
    }
  }
}
