// The course of the last hour: connections against the limit, and rejections below, with a mark for each change.
/* global uPlot */

import { moment, number, rate, step, time, visible } from "./words.js";

const KEPT = 3600;
const ROWS = 3;
/** The number of seconds without a sample that make a gap rather than a late tick. */
const GAP = 3;
/** Current rates are means over this many seconds. */
const LATELY = 5;

const columns = ["time", "active", "limit", "accepted", "rejected"];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export class Course {
  #series = Object.fromEntries(columns.map((name) => [name, []]));
  #changes = [];
  #span = KEPT;
  #plots = [];
  #marks = [];
  #gaps = [];
  /** The data of the plot: the series, with a row of nulls in each gap. */
  #drawn = {};
  #cursor = null;

  constructor({ place, below, readout, gapKey }) {
    this.place = place;
    this.below = below;
    this.readout = readout;
    this.gapKey = gapKey;
    new ResizeObserver(() => this.#fit()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#build());
    this.#build();
  }

  /** The newest sample; undefined if there is none. */
  latest() {
    const row = Object.fromEntries(columns.map((name) => [name, this.#series[name].at(-1)]));
    return row.time === undefined ? undefined : row;
  }

  /** The recent growth of a total, per second. */
  lately(name) {
    const { time: times, [name]: totals } = this.#series;
    const last = times.length - 1;
    let first = last;
    while (first > 0 && times[last] - times[first - 1] <= LATELY) first -= 1;
    if (first >= last) return 0;
    let more = 0;
    for (let i = first + 1; i <= last; i += 1) more += grown(totals[i - 1], totals[i]);
    return more / (times[last] - times[first]);
  }

  /** The totals of the visible part. */
  summary() {
    const first = this.#first();
    const { active, rejected, time: times } = this.#series;
    let peak = first;
    for (let i = first; i < active.length; i += 1) if (active[i] >= active[peak]) peak = i;
    // A restart in between begins at zero again: only growth counts.
    let turnedAway = 0;
    for (let i = Math.max(first, 1); i < rejected.length; i += 1) turnedAway += grown(rejected[i - 1], rejected[i]);
    return active.length ? { peak: active[peak], at: new Date(times[peak] * 1000), rejected: turnedAway } : null;
  }

  show(seconds) {
    this.#span = seconds;
    this.draw();
  }

  replace(series) {
    for (const name of columns) this.#series[name] = series[name];
    this.draw();
  }

  /** Adds a sample; returns false if samples before it are missing. */
  add(sample) {
    const { time: times } = this.#series;
    while (times.length && times.at(-1) >= sample.time) for (const name of columns) this.#series[name].pop();
    const whole = !times.length || sample.time - times.at(-1) < GAP;
    for (const name of columns) {
      this.#series[name].push(sample[name]);
      if (this.#series[name].length > KEPT) this.#series[name].shift();
    }
    this.draw();
    return whole;
  }

  mark(changes) {
    this.#changes = changes;
    this.draw();
  }

  draw() {
    const { time: times, active, limit, rejected } = this.#series;
    const drawn = { time: [], active: [], limit: [], lost: [] };
    const row = (second, ...values) => {
      drawn.time.push(second);
      ["active", "limit", "lost"].forEach((name, i) => drawn[name].push(values[i]));
    };
    for (let i = 0; i < times.length; i += 1) {
      if (i && times[i] - times[i - 1] >= GAP) row(times[i - 1] + 1, null, null, null);
      row(times[i], active[i], limit[i], i ? grown(rejected[i - 1], rejected[i]) / (times[i] - times[i - 1]) : 0);
    }
    this.#drawn = drawn;
    const [course, rejections] = this.#plots;
    course.setData([drawn.time, drawn.active, drawn.limit]);
    rejections.setData([drawn.time, drawn.lost]);
    this.#tell();
  }

  #first() {
    const { time: times } = this.#series;
    const from = (times.at(-1) ?? 0) - this.#span;
    return Math.max(times.findIndex((second) => second > from), 0);
  }

  #range() {
    const end = this.#series.time.at(-1) ?? Math.floor(Date.now() / 1000);
    return [end - this.#span, end];
  }

  #build() {
    for (const plot of this.#plots) plot.destroy();
    const [muted, grid] = [colour("muted"), colour("grid")];
    const font = "11px system-ui, sans-serif";
    const axis = { stroke: muted, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    const counts = { ...axis, size: 46, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? number(tick) : "")) };
    const x = {
      ...axis,
      space: 70,
      size: 26,
      values: (_, ticks) => ticks.map((tick) => time(new Date(tick * 1000)).slice(0, this.#span > 600 || tick % 60 === 0 ? 5 : 8)),
    };
    const common = {
      width: 300,
      legend: { show: false },
      cursor: { drag: { setScale: false, x: false, y: false }, y: false, sync: { key: "course" }, points: { size: 6 } },
    };
    const scales = (range) => ({ x: { time: true, range: () => this.#range() }, y: { range } });
    const hooks = { setCursor: [(plot) => this.#point(plot)] };
    const step_ = uPlot.paths.stepped({ align: 1 });
    const top = uPlot.rangeNum;
    this.#plots = [
      new uPlot({
        ...common,
        height: this.place.clientHeight,
        scales: scales((_, __, most) => [0, top(0, Math.max(most ?? 0, 1), 0.08, true)[1]]),
        axes: [x, counts],
        // The scale exists only once something is drawn: marks are placed on it.
        hooks: { ...hooks, draw: [() => this.#shade(), () => this.#place()] },
        series: [
          {},
          { stroke: colour("active"), fill: colour("active-fill"), width: 1.75, paths: step_, points: { show: false } },
          { stroke: colour("limit"), width: 1.75, paths: step_, points: { show: false } },
        ],
      }, [[], [], []], this.place),
      new uPlot({
        ...common,
        height: this.below.clientHeight,
        scales: scales((_, __, most) => [0, Math.max(top(0, most ?? 0, 0.1, true)[1], 4)]),
        axes: [x, { ...counts, space: 24 }],
        hooks,
        series: [
          {},
          { stroke: colour("bad"), fill: colour("bad"), width: 1, paths: uPlot.paths.bars({ size: [1, 8] }), points: { show: false } },
        ],
      }, [[], []], this.below),
    ];
    [this.#marks, this.#gaps] = [[], []];
    this.#fit();
  }

  #fit() {
    const [course, rejections] = this.#plots;
    if (!course || !this.place.clientWidth) return;
    course.setSize({ width: this.place.clientWidth, height: this.place.clientHeight });
    rejections.setSize({ width: this.below.clientWidth, height: this.below.clientHeight });
    this.draw();
  }

  /** Hatches each visible period without samples. */
  #shade() {
    const [plot] = this.#plots;
    const { time: times, active } = this.#drawn;
    const [from] = this.#range();
    const gaps = (times ?? []).flatMap((second, i) => (active[i] === null && times[i + 1] > from ? [[Math.max(second, from), times[i + 1]]] : []));
    this.gapKey.hidden = !gaps.length;
    while (this.#gaps.length > gaps.length) this.#gaps.pop().remove();
    while (this.#gaps.length < gaps.length) {
      const gap = document.createElement("div");
      gap.className = "blank";
      plot.over.append(gap);
      this.#gaps.push(gap);
    }
    gaps.forEach(([begin, end], i) => {
      const [left, right] = [begin, end].map((second) => plot.valToPos(second, "x"));
      this.#gaps[i].style.left = `${left}px`;
      this.#gaps[i].style.width = `${right - left}px`;
    });
  }

  /** Draws a mark for each visible change; omits labels that would overlap. */
  #place() {
    const over = this.#plots[0].over;
    const [from, to] = this.#range();
    const inSight = this.#changes
      .map((entry) => ({ entry, second: Date.parse(entry.time) / 1000 }))
      // A change may be a little newer than the newest sample.
      .filter(({ second }) => second >= from && second <= to + 2)
      .sort((one, other) => one.second - other.second);
    while (this.#marks.length < inSight.length) {
      const mark = document.createElement("div");
      mark.append(document.createElement("span"));
      over.append(mark);
      this.#marks.push(mark);
    }
    while (this.#marks.length > inSight.length) this.#marks.pop().remove();
    const [width, taken] = [over.clientWidth, Array(ROWS).fill(-Infinity)];
    inSight.forEach(({ entry, second }, i) => {
      const [mark, label] = [this.#marks[i], this.#marks[i].firstChild];
      const x = Math.min(this.#plots[0].valToPos(second, "x"), width - 1);
      const wide = entry.door.length * 6.2 + 10;
      const isLeft = x + wide > width;
      const [left, right] = isLeft ? [x - wide, x] : [x, x + wide];
      const row = taken.findIndex((until) => until <= left);
      mark.className = `mark ${entry.outcome}${isLeft ? " left" : ""}`;
      mark.style.left = `${x}px`;
      mark.dataset.door = entry.door;
      label.textContent = entry.door;
      label.className = `row${row}`;
      label.hidden = row < 0;
      if (row >= 0) taken[row] = right + 2;
    });
  }

  #point(plot) {
    const left = plot.cursor.left;
    const index = left >= 0 ? plot.cursor.idx : null;
    this.#cursor = index === null || index === undefined ? null : { index, second: plot.posToVal(left, "x"), reach: this.#span / plot.over.clientWidth * 7 };
    this.#tell();
  }

  /** The values under the cursor as text; without a cursor, a hint. */
  #tell() {
    const at = this.#cursor;
    const { time: times, active, limit, lost } = this.#drawn;
    if (!at || times[at.index] === undefined) {
      this.readout.textContent = times.length ? "Point at the plot, or tap it, for the numbers of a moment." : "No sample yet.";
      return;
    }
    const i = at.index;
    const words = [`${time(new Date(times[i] * 1000))}: ` + (active[i] === null
      ? `no samples until ${time(new Date(times[i + 1] * 1000))}; the server was stopped, or too busy`
      : `${number(active[i])} of ${number(limit[i])} connections, ${rate(lost[i])} rejected per second`)];
    for (const entry of this.#changes) {
      if (Math.abs(Date.parse(entry.time) / 1000 - at.second) <= Math.max(at.reach, 1)) {
        words.push(`${moment(new Date(entry.time))} ${entry.door}: ${step(entry)} by ${visible(entry.actor)}${entry.reason ? ` (${entry.reason})` : ""}`);
      }
    }
    this.readout.textContent = words.slice(0, 3).join(" · ");
  }
}

/** The growth of a counter, which begins at zero after a restart. */
const grown = (before, after) => (after >= before ? after - before : after);
