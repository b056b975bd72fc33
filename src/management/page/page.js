// The page: reads the last hour, follows events, and requests changes. It holds no data of its own, and shows clearly
// when the server does not answer.

import { Refusal, change, follow, get, isTokenMissing, token } from "./api.js";
import { Course } from "./plot.js";
import { History, totals } from "./tables.js";
import { drift, number, rate, time, zone } from "./words.js";

/** A working server sends a sample each second. After this time without one it counts as gone. */
const SILENCE = 6000;
const TOTALS_EVERY = 5000;
const POLL_EVERY = 5000;
const LONGEST_PAUSE = 5000;

const $ = (id) => document.getElementById(id);
const course = new Course({ place: $("plot"), below: $("rejected-plot"), readout: $("readout"), gapKey: $("gap-key") });
const history = new History($("changes"), $("more"));
let warnPercent = 80;
let attempt = null;
let wake = () => {};

// --- showing

function state(name, words) {
  if ($("state").textContent !== words) $("state").textContent = words;
  $("state").dataset.state = name;
  document.body.classList.toggle("stale", name === "gone" || name === "connecting");
}

function figures() {
  const now = course.latest();
  if (!now) return;
  const usage = now.active / now.limit * 100;
  const lately = rate(course.lately("rejected"));
  const { peak, at, rejected } = course.summary();
  const texts = {
    active: number(now.active),
    limit: number(now.limit),
    usage: `${usage.toFixed(usage < 10 ? 1 : 0)} %`,
    free: `${number(now.limit - now.active)} free`,
    accepted: `${rate(course.lately("accepted"))}/s`,
    "accepted-total": `${number(now.accepted)} since the start`,
    rejected: `${lately}/s`,
    "rejected-total": `${number(rejected)} in what is shown`,
    peak: number(peak),
    "peak-when": `at ${time(at)}`,
  };
  for (const [id, text] of Object.entries(texts)) if ($(id).textContent !== text) $(id).textContent = text;
  $("meter").value = usage;
  $("figures").classList.toggle("tight", usage >= warnPercent);
  $("rejections").classList.toggle("now", lately !== "0");
  document.title = `${now.active}/${now.limit} shibudb`;
}

function changed() {
  course.mark(history.entries);
}

// --- reading

async function readSeries() {
  course.replace(await get("/series"));
  figures();
}

async function readHistory() {
  history.replace((await get("/history?limit=1000")).changes);
  changed();
}

async function readConfig() {
  const config = await get("/config");
  warnPercent = config.settings.find(({ key }) => key === "limits.warn_percent")?.value ?? warnPercent;
  const signalStep = config.settings.find(({ key }) => key === "limits.signal_step")?.value;
  $("amount").placeholder = signalStep ?? "";
  $("wanted").placeholder = config.limit.current;
  $("ceiling").textContent = number(config.limit.ceiling);
  $("base").textContent = `to ${number(config.limit.base)}, as configured`;
  $("words").replaceChildren(...drift(config).map(([kind, words]) => {
    const line = document.createElement("li");
    line.className = kind;
    line.textContent = words;
    return line;
  }));
}

async function readTotals() {
  const { by_user: users, by_peer: peers, total } = await get("/connections?limit=1");
  totals($("by-user"), users.map(({ user, connections }) => [user, connections]), total);
  totals($("by-peer"), peers.map(({ peer, connections }) => [peer, connections]), total);
}

/** Runs requests one after the other over one connection: a server that is short of descriptors accepts few. */
async function readAll() {
  for (const read of [readSeries, readHistory, readConfig, readTotals]) await read();
}

/** Runs `read` soon, but never twice at a time: many changes at once cause one read of the final state. */
function coalesced(read) {
  let [isRunning, isWanted] = [false, false];
  return async () => {
    isWanted = true;
    if (isRunning) return;
    isRunning = true;
    while (isWanted) {
      isWanted = false;
      // What fails here fails for the stream as well, and is told there.
      await read().catch(() => {});
    }
    isRunning = false;
  };
}

const again = { series: coalesced(readSeries), history: coalesced(readHistory), config: coalesced(readConfig) };

function heard(event, data) {
  if (event === "sample") {
    const isWhole = course.add(data);
    figures();
    if (!isWhole) again.series();
  } else if (event === "change") {
    history.add(data);
    changed();
  } else if (event === "missed") {
    again.history();
  } else if (event === "config") {
    again.config();
  }
}

// --- staying in touch

/** Follows the stream until it ends. */
async function followOnce() {
  attempt = new AbortController();
  let timer = setTimeout(() => attempt.abort(), 3 * SILENCE);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => attempt.abort(), SILENCE);
  };
  let early = [];
  const { signal } = attempt;
  try {
    await follow(signal, () => {
      alive();
      // Events that arrive while the rest is read come after it.
      readAll().then(() => {
        state("live", "Live");
        for (const [event, data] of early) heard(event, data);
        early = null;
      }, (error) => attempt.abort(error));
    }, (event, data) => {
      alive();
      if (early) early.push([event, data]);
      else heard(event, data);
    });
  } catch (error) {
    throw signal.aborted && signal.reason instanceof Refusal ? signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

const pause = (milliseconds) => new Promise((resolve) => {
  wake = resolve;
  setTimeout(resolve, milliseconds);
});

async function stayInTouch() {
  let [wait, goneSince] = [500, null];
  for (;;) {
    try {
      if (await isTokenMissing()) await askForToken("");
      await followOnce();
      goneSince ??= new Date();
    } catch (error) {
      if (error.status === 401) {
        await askForToken(error.message);
        continue;
      }
      if (error.status === 503 && await readAll().then(() => true, () => false)) {
        state("polling", `Every ${POLL_EVERY / 1000} seconds: ${error.message}`);
        goneSince = null;
        await pause(POLL_EVERY);
        continue;
      }
      goneSince ??= new Date();
    }
    if ($("state").dataset.state === "live") [wait, goneSince] = [500, new Date()];
    state("gone", `The server does not answer since ${time(goneSince)}; trying again`);
    await pause(wait);
    wait = Math.min(wait * 1.6, LONGEST_PAUSE);
  }
}

/** A user who returns to the page, or to the network, does not wait for a timer. */
function comeBack() {
  wake();
  if ($("state").dataset.state === "live" && Date.now() / 1000 - (course.latest()?.time ?? 0) > SILENCE / 1000) attempt?.abort();
}

// --- the token

function askForToken(why) {
  state("connecting", "A token is needed");
  $("ask-why").textContent = token.get() ? why : "";
  $("forget").hidden = true;
  token.forget();
  if (!$("ask").open) $("ask").showModal();
  return new Promise((resolve) => {
    $("token-form").onsubmit = (event) => {
      event.preventDefault();
      token.set($("token").value.trim());
      $("token").value = "";
      $("forget").hidden = false;
      $("ask").close();
      resolve();
    };
  });
}

// --- changing the limit

async function tell(form, request) {
  const buttons = [...document.querySelectorAll("#change button")];
  for (const button of buttons) button.disabled = true;
  const used = document.activeElement;
  try {
    const { message } = await request();
    $("outcome").className = "done";
    $("outcome").textContent = message;
    form.reset();
  } catch (error) {
    $("outcome").className = "refused";
    $("outcome").textContent = error instanceof Refusal
      ? error.message
      : "The server did not answer; the change may still apply. Check the history.";
    if (error.status === 401) attempt?.abort(error);
  } finally {
    for (const button of buttons) button.disabled = false;
    used?.focus({ preventScroll: true });
  }
}

/** The input as JSON: a number unchanged, anything else as text, so that the server's refusal names what it expected. */
const typed = (text) => (/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text) ? text : JSON.stringify(text));

function onSubmit(id, request) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    tell($(id), () => request(event.submitter));
  });
}

onSubmit("set", () => change("PUT", "/limit", `{"limit":${typed($("wanted").value.trim())}}`));
onSubmit("step", (submitter) => {
  const amount = $("amount").value.trim();
  return change("POST", `/limit/${submitter?.value ?? "increase"}`, amount ? `{"amount":${typed(amount)}}` : undefined);
});
onSubmit("reset", () => change("POST", "/limit/reset"));

// --- beginning

$("place").textContent = location.host;
$("zone").textContent = zone();
$("forget").hidden = !token.get();
$("forget").addEventListener("click", () => {
  token.forget();
  location.reload();
});
// Without a token there is no way on; Escape would leave a page that does nothing. A browser may close it all the same.
$("ask").addEventListener("cancel", (event) => event.preventDefault());
$("ask").addEventListener("close", () => token.get() || $("ask").showModal());
// An invalid token cannot even be sent.
$("token").addEventListener("input", () => {
  const isToken = /^\s*[\x21-\x7e]+\s*$/.test($("token").value);
  $("token").setCustomValidity(isToken ? "" : "A token is one word of letters, digits and signs, without spaces in it.");
});
for (const radio of document.querySelectorAll("#span input")) {
  radio.addEventListener("change", () => {
    course.show(Number(radio.value));
    figures();
  });
}
setInterval(() => {
  if (!document.hidden && $("state").dataset.state === "live") readTotals().catch(() => {});
}, TOTALS_EVERY);
document.addEventListener("visibilitychange", () => document.hidden || comeBack());
addEventListener("online", comeBack);
stayInTouch();
