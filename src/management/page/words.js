// Numbers, times and configuration as a person reads them.

const grouped = new Intl.NumberFormat("en", { useGrouping: "min2" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit" });

export const number = (value) => grouped.format(value);

/** A rate, with one decimal below 10. */
export const rate = (value) => (value > 0 && value < 10 ? value.toFixed(1) : number(Math.round(value)));

/** A name with its invisible characters escaped, as in the server's own lists. */
export const visible = (text) => text.replace(/[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}|^ +| +$/gu,
  (hidden) => Array.from(hidden, (c) => `\\u{${c.codePointAt(0).toString(16)}}`).join(""));

export const time = (date) => clock.format(date);

/** The time, with the date unless it is today. */
export function moment(date) {
  const [its, today] = [day.format(date), day.format(new Date())];
  return its === today ? time(date) : `${its} ${time(date)}`;
}

export function zone() {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const minutes = -new Date().getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  const offset = `UTC${minutes < 0 ? "−" : "+"}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
  return minutes === 0 ? "Times are in UTC" : `Times are in ${name} (${offset})`;
}

const whence = {
  default: "the built-in default",
  file: "what the config file says",
  "command line": "what the command line said at the start",
};

const shown = (value) => (value === null ? "nothing" : typeof value === "string" ? `"${value}"` : String(value));

/** The differences between file and runtime: a severity and a sentence for each. */
export function drift(config) {
  const { file, awaited_file: awaited, limit, settings, last_reload: last, troubled_files: troubled, store } = config;
  const words = [];
  for (const { file: path, since, problem } of troubled ?? []) {
    words.push(["bad", `${visible(path)} has been unusable since ${moment(new Date(since))}: ${visible(problem)}. `
      + "What was read before stays in effect."]);
  }
  if (store?.problem) {
    words.push(["bad", `The store has trouble since ${moment(new Date(store.since))}: ${visible(store.problem)}.`]);
  }
  const { base, override, refused, waiting, ceiling, current, not_stored: notStored, unwritten_records: unwritten } = limit;
  if (override) {
    words.push(["differs", `The limit of ${number(current)} was set through ${override.door} by ${visible(override.actor)}, `
      + `${moment(new Date(override.time))}. It stands in for ${number(base)}, ${whence[limit.base_source]}. Reset goes back to that.`]);
  } else if (!refused && current === base) {
    words.push(["good", `The limit is ${number(base)}, ${whence[limit.base_source]}.`]);
  }
  if (override?.clamped_to) {
    words.push(["bad", `This process can hold at most ${number(override.clamped_to)} connections, so that is the limit. `
      + `${number(override.limit)} stays stored, for a start with a higher open-file limit (LimitNOFILE= in the unit, or ulimit -n).`]);
  }
  if (refused) {
    words.push(["bad", `The config file asks for a limit of ${number(refused.limit)}. That was refused: ${refused.reason}. `
      + (waiting
        ? `It is applied once at most ${number(waiting)} connections are active, unless the limit is set first.`
        : `The limit stays at ${number(current)} until the file is edited again, a reload or a reset.`)]);
  } else if (base > ceiling) {
    words.push(["bad", `${number(base)} is configured, but this process can hold at most ${number(ceiling)} connections. `
      + "A higher open-file limit (LimitNOFILE= in the unit, or ulimit -n) would let it hold more."]);
  }
  for (const { key, value, pending } of settings) {
    if (pending !== null && key !== "max_connections") {
      words.push(["differs", `${key} is ${shown(value)}; the config file says ${shown(pending)}, which waits for a restart.`]);
    }
  }
  if (notStored) {
    words.push(["bad", `The limit of ${number(current)} is in effect, but a restart may lose it: ${notStored}.`]);
  }
  if (unwritten) {
    words.push(["bad", `${number(unwritten)} of the attempts below could not be written to the history file, and are `
      + "forgotten with a restart. The log says why."]);
  }
  if (last?.outcome === "failed") {
    words.push(["bad", `The config file could not be used, ${moment(new Date(last.time))}: ${last.error}. `
      + "The settings from before stay in force."]);
  } else if (last) {
    words.push(["good", `${file} was last read ${moment(new Date(last.time))}, and is in force`
      + `${settings.some(({ pending }) => pending !== null) ? " but for what is named here" : ""}.`]);
  } else if (file) {
    words.push(["good", `${file} is followed; it has not changed since the start.`]);
  } else if (awaited) {
    words.push(["differs", `There is no config file: ${awaited} does not exist and is read once it is created.`]);
  }
  return words;
}

/** The number of repetitions of a refusal and the time of the last; empty if there was one. */
export function repeated({ count, last_time: last }) {
  if (!count) return "";
  return ` (${number(count)} times${last ? `, last ${moment(new Date(last))}` : ""})`;
}

/** The subject of an attempt: `1000 → 1100`, or `1000, not 500`. */
export function step({ old, new: wanted, outcome }) {
  if (outcome === "refused") return `${old ?? "–"}, not ${wanted ?? "?"}`;
  return old === null ? `${wanted}` : `${old} → ${wanted}`;
}
