// The tables: attempts to change the limit, and the users and addresses with the most connections.

import { moment, number, repeated, step, visible } from "./words.js";

const SHORT = 12;
/** The number of entries that the server keeps. */
const KEPT = 1000;

const element = (name, text, className) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
};

export class History {
  #entries = [];
  #isLong = false;

  constructor(body, more) {
    this.body = body;
    this.more = more;
    more.addEventListener("click", () => {
      this.#isLong = !this.#isLong;
      this.#draw();
    });
  }

  /** Newest first. */
  get entries() {
    return this.#entries;
  }

  replace(entries) {
    this.#entries = entries;
    this.#draw();
  }

  /** Adds the newest, unless it is there: what was read may have had it already. Of a refusal that is repeated the
   * entry is replaced by one with a higher count. */
  add(entry) {
    const known = this.#entries.findIndex(({ time, door, actor }) =>
      time === entry.time && door === entry.door && actor === entry.actor);
    if (known < 0) {
      this.#entries = [entry, ...this.#entries].slice(0, KEPT);
    } else if ((entry.count ?? 1) > (this.#entries[known].count ?? 1)) {
      this.#entries = this.#entries.with(known, entry);
    } else {
      return;
    }
    this.#draw(entry);
  }

  #draw(fresh) {
    const shown = this.#isLong ? this.#entries : this.#entries.slice(0, SHORT);
    this.body.replaceChildren(...shown.map((entry) => row(entry, entry === fresh)));
    this.more.hidden = this.#entries.length <= SHORT;
    this.more.textContent = this.#isLong ? "Show fewer" : `Show all ${this.#entries.length}`;
  }
}

function row(entry, isFresh) {
  const made = element("tr", undefined, `${entry.outcome}${isFresh ? " fresh" : ""}`);
  const [when, limit] = [element("td"), element("td")];
  const time = element("time", moment(new Date(entry.time)));
  time.dateTime = entry.time;
  when.append(time);
  limit.append(whole(step(entry)));
  if (entry.reason) {
    const reason = element("span", undefined, "reason");
    reason.append(...unbroken(entry.reason + repeated(entry)));
    limit.append(reason);
  }
  const who = element("td");
  who.append(...unbroken(visible(entry.actor)));
  made.append(when, element("td", entry.door, "door"), limit, element("td", number(entry.active), "number"), who);
  return made;
}

/** The length of an IPv6 address in brackets. Longer words may break anywhere, so that they fit on a phone. */
const UNBROKEN = 41;

const whole = (text) => element("span", text, "whole");

/** A text that breaks between its words, behind the slashes of a path and before the port of a long address, and not
 * in the middle of a number: a narrow column would break it there. */
function unbroken(text) {
  const pieces = text.split(/(?<=[ /])|(?<=\])(?=:\d)/);
  return pieces.flatMap((piece) => [piece.length > UNBROKEN ? piece : whole(piece), document.createElement("wbr")]);
}

/** `rows` are pairs of a name and a count. */
export function totals(body, rows, most) {
  const lines = rows.slice(0, 8).map(([name, count]) => {
    const made = element("tr", undefined, "share");
    const bar = element("span", undefined, "bar");
    bar.style.width = `${Math.max(count / most * 100, 1)}%`;
    const cell = element("td");
    cell.append(bar, name === null ? element("span", "not logged in", "empty") : visible(name));
    made.append(cell, element("td", number(count), "number"));
    return made;
  });
  if (!lines.length) {
    const [made, cell] = [element("tr"), element("td", "Nobody is connected.", "empty")];
    made.append(cell);
    lines.push(made);
  }
  body.replaceChildren(...lines);
}
