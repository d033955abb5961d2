/** The bars themselves: elements for each family and block, and the gestures on them. Knows nothing of the language. */

import { family } from "./language.js";

const NARROWEST = 12; // pixels a bar and its gap need at least
const NARROWEST_COMPACT = 7;
const WIDEST = 34;
const FOLDED = 132;
const FOLDED_AT_FIRST = (name) => name === "BASE" || name.startsWith("TE.");
const DETENT = 0.15; // share of a bar that a drag must go past 0 before the ratio changes its sign
const HOW = "Drag to set; a drag stops at 0 and at the top. Hold Shift while dragging to go past them, Alt for finer steps.";

export const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

/** Bars for blocks, grouped by family. `on` receives gestures: paint, move, choose, focus, fold, all, key. */
export class Bars {
  constructor(on) {
    this.on = on;
    this.root = element("div", { className: "families" });
    this.scale = { low: 0, high: 1.5 };
    this.families = new Map(); // name -> {section, strip, all, aliases}
    this.bars = new Map(); // alias -> {bar, track}
    this.root.addEventListener("pointerdown", (event) => this.#press(event));
    this.root.addEventListener("dblclick", (event) => this.#aliasAt(event) && on.type(this.#aliasAt(event)));
    this.root.addEventListener("keydown", (event) => this.#aliasAt(event) && on.key(event, this.#aliasAt(event)));
    this.root.addEventListener("focusin", (event) => this.#aliasAt(event) && on.focus(this.#aliasAt(event)));
    this.root.addEventListener("pointerover", (event) => on.hover(this.#aliasAt(event)));
    this.root.addEventListener("pointerleave", () => on.hover(null));
  }

  #aliasAt = (event) => event.target.closest?.(".block")?.dataset.alias ?? null;

  /** Makes the elements anew; only when the list of blocks changes. */
  build(aliases, isFolded) {
    this.families.clear();
    this.bars.clear();
    this.root.replaceChildren();
    for (const alias of aliases) {
      const name = family(alias);
      if (!this.families.has(name)) this.#addFamily(name, isFolded(name) ?? FOLDED_AT_FIRST(name));
      this.#addBar(this.families.get(name), name, alias);
    }
    for (const [name, { section, aliases: members, count, strip }] of this.families) {
      count.textContent = members.length;
      section.classList.toggle("single", members.length === 1);
      section.setAttribute("aria-label", `${name}, ${members.length} blocks`);
      if (strip.firstChild) strip.firstChild.tabIndex = 0;
    }
  }

  #addFamily(name, folded) {
    const fold = element("button", { className: "fold", type: "button", textContent: name });
    fold.setAttribute("aria-label", name);
    const count = element("span", { className: "count" });
    const all = element("div", { className: "all", tabIndex: 0, title: `All of ${name}: drag sideways, or arrow keys` });
    all.setAttribute("role", "slider");
    all.setAttribute("aria-label", `all of ${name}`);
    const strip = element("div", { className: "strip", title: HOW });
    const section = element("section", { className: "family" },
      element("div", { className: "head" }, fold, count, all), strip);
    section.setAttribute("role", "group");
    const entry = { section, strip, all, count, fold, aliases: [] };
    fold.addEventListener("click", () => this.on.fold(name, !section.classList.contains("folded")));
    all.addEventListener("pointerdown", (event) => this.#slideAll(event, entry));
    all.addEventListener("keydown", (event) => this.on.allKey(event, entry.aliases));
    this.families.set(name, entry);
    this.root.append(section);
    this.fold(name, folded);
  }

  #addBar(entry, name, alias) {
    const track = element("div", { className: "track" });
    const number = /\d+$/.exec(alias)?.[0];
    const short = number === undefined ? "" : String(Number(number));
    const label = element("span", { className: "label", textContent: short });
    const bar = element("div", { className: "block", tabIndex: -1 }, track, label);
    bar.dataset.alias = alias;
    bar.setAttribute("role", "slider");
    bar.setAttribute("aria-orientation", "vertical");
    bar.setAttribute("aria-label", alias);
    entry.aliases.push(alias);
    entry.strip.append(bar);
    this.bars.set(alias, { bar, track, label, strip: entry.strip });
  }

  fold(name, folded) {
    const entry = this.families.get(name);
    entry?.section.classList.toggle("folded", folded);
    entry?.fold.setAttribute("aria-expanded", String(!folded));
  }

  /** Spreads the bars over as many rows as this width, in pixels, needs. */
  layout(width, compact) {
    const narrowest = compact ? NARROWEST_COMPACT : NARROWEST;
    const room = compact ? width - 48 : width;
    for (const { section, strip, aliases } of this.families.values()) {
      const folded = section.classList.contains("folded");
      const rows = Math.max(1, Math.ceil((aliases.length * narrowest) / Math.max(room, narrowest)));
      const columns = Math.ceil(aliases.length / rows);
      strip.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
      const basis = Math.min(width, folded ? FOLDED : Math.max(columns * narrowest + (compact ? 44 : 0), 42));
      section.style.flex = folded ? `0 1 ${basis}px` : `${columns} 1 ${basis}px`;
      section.style.maxWidth = folded || columns > 20 ? "" : `${Math.max(columns * WIDEST + (compact ? 44 : 0), 42)}px`;
      const every = room / columns < 15 && columns > 12 ? 5 : 1;
      strip.childNodes.forEach((bar, i) => { bar.lastChild.style.visibility = i % every ? "hidden" : ""; });
    }
  }

  /** Shows the state of every block: {value, text, parts, share, absent, title} by alias. */
  paint(states, selection) {
    const values = [...states.values()].map(({ value }) => value).filter((value) => value !== null);
    if (!this.dragging) {
      this.scale = { low: Math.floor(Math.min(0, ...values) * 2) / 2, high: Math.ceil(Math.max(1.5, ...values) * 2) / 2 };
    }
    this.root.style.setProperty("--one", `${100 * this.#share(1)}%`);
    for (const [alias, state] of states) this.#paintBar(alias, state, selection.has(alias));
    for (const { all, aliases } of this.families.values()) this.#paintAll(all, aliases.map((alias) => states.get(alias).value));
  }

  #share = (value) => Math.min(1, Math.max(0, (value - this.scale.low) / (this.scale.high - this.scale.low)));

  #paintBar(alias, { value, text, parts, share, absent, title }, selected) {
    const { bar, track } = this.bars.get(alias);
    const [from, to] = [this.#share(Math.min(0, value ?? 0)), this.#share(Math.max(0, value ?? 0))];
    track.style.setProperty("--from", `${100 * from}%`);
    track.style.setProperty("--length", `${100 * (to - from)}%`);
    track.dataset.text = text;
    bar.style.setProperty("--share", share);
    const flags = { selected, absent, unknown: value === null, negative: value < 0, "at-zero": value === 0, mixed: parts > 0 };
    for (const [name, on] of Object.entries(flags)) bar.classList.toggle(name, Boolean(on));
    bar.setAttribute("aria-valuemin", this.scale.low);
    bar.setAttribute("aria-valuemax", this.scale.high);
    bar.setAttribute("aria-valuenow", value ?? 0);
    bar.setAttribute("aria-valuetext", title);
  }

  #paintAll(all, values) {
    const known = values.filter((value) => value !== null);
    const [least, most] = [Math.min(...known), Math.max(...known)];
    const shown = (value) => String(Math.round(value * 100) / 100);
    all.textContent = known.length < values.length ? "?" : least === most ? shown(least) : `${shown(least)} – ${shown(most)}`;
    const mean = known.reduce((sum, value) => sum + value, 0) / Math.max(known.length, 1);
    all.style.setProperty("--fill", `${100 * this.#share(mean)}%`);
    all.setAttribute("aria-valuemin", this.scale.low);
    all.setAttribute("aria-valuemax", this.scale.high);
    all.setAttribute("aria-valuenow", mean);
    all.setAttribute("aria-valuetext", all.textContent);
  }

  focus(alias) {
    const entry = this.bars.get(alias);
    if (!entry) return;
    entry.strip.querySelectorAll('[tabindex="0"]').forEach((bar) => { bar.tabIndex = -1; });
    entry.bar.tabIndex = 0;
    entry.bar.focus({ preventScroll: true });
  }

  #press(event) {
    const alias = this.#aliasAt(event);
    if (!alias || event.button !== 0) return;
    event.preventDefault();
    this.focus(alias);
    if (event.shiftKey || event.ctrlKey || event.metaKey) return this.on.choose(alias, event.shiftKey);
    const strip = this.bars.get(alias).strip;
    const row = rowOf(strip, this.bars.get(alias).bar);
    const together = this.on.press(alias);
    const { at, first } = this.#ratios(event, ({ clientY }) => (row[0].bottom - clientY) / (row[0].bottom - row[0].top));
    let [last, before] = [row.findIndex(({ name }) => name === alias), undefined];
    const follow = (move) => {
      if (together) return this.on.shift(snap(at.raw(move) - first, move), (from, to) => this.#held(from, to, move));
      const [ratio, column] = [snap(at(move), move), nearest(row, move.clientX)];
      this.on.paint(between(row, last, column, before ?? ratio, ratio));
      [last, before] = [column, ratio];
    };
    this.#drag(event, strip, follow, !together);
  }

  #slideAll(event, entry) {
    if (event.button !== 0) return;
    event.preventDefault();
    entry.all.focus({ preventScroll: true });
    const { left, width } = entry.all.getBoundingClientRect();
    const { at } = this.#ratios(event, ({ clientX }) => (clientX - left) / width);
    const follow = (move) => {
      const ratio = snap(at(move), move);
      this.on.paint(entry.aliases.map((name) => [name, ratio]));
    };
    this.on.press(null);
    this.#drag(event, entry.all, follow, true);
  }

  /** Until the pointer is up the scale stays as it is; at once: the press itself sets a ratio too. */
  #drag(event, target, follow, atOnce) {
    this.dragging = true;
    if (atOnce) follow(event);
    target.setPointerCapture(event.pointerId);
    target.onpointermove = follow;
    target.onpointerup = target.onpointercancel = target.onlostpointercapture = () => {
      target.onpointermove = target.onpointerup = target.onpointercancel = target.onlostpointercapture = null;
      this.dragging = false;
      this.on.release();
    };
  }

  /** What a drag that began with an event says: at(event) within its stops, at.raw(event) without them. */
  #ratios(event, shareOf) {
    const { low, high } = this.scale;
    const raw = (move) => low + shareOf(move) * (high - low);
    const first = raw(event);
    let side = low < 0 && first < 0 ? -1 : 1; // of 0
    const at = (move) => {
      const ratio = raw(move);
      if (low < 0 && ratio * side < -DETENT * (high - low)) side = -side;
      return move.shiftKey ? ratio : this.#held(side, ratio, move);
    };
    return { at: Object.assign(at, { raw }), first };
  }

  /** A ratio that a drag may reach from another one: on its side of 0 and on the scale, unless Shift is held. */
  #held(from, to, { shiftKey }) {
    if (shiftKey) return to;
    const [least, most] = from < 0 ? [this.scale.low, 0] : [0, this.scale.high];
    return Math.min(most, Math.max(least, to));
  }
}

/** Steps of 0.05, or 0.01 with Alt. */
const snap = (ratio, event) => Math.round(ratio * (event.altKey ? 100 : 20)) / (event.altKey ? 100 : 20);

/** Where the bars of one row are on the screen: [{name, left, right, top, bottom}]. */
function rowOf(strip, bar) {
  const rects = [...strip.children].map((child) => ({ name: child.dataset.alias, rect: child.firstChild.getBoundingClientRect() }));
  const top = bar.firstChild.getBoundingClientRect().top;
  return rects.filter(({ rect }) => Math.abs(rect.top - top) < 2)
    .map(({ name, rect: { left, right, top: upper, bottom } }) => ({ name, left, right, top: upper, bottom }));
}

const nearest = (row, x) => {
  const inside = row.findIndex(({ right }) => x <= right + 1);
  return inside < 0 ? row.length - 1 : inside;
};

/** [alias, ratio] for every bar from one column to another: a quick hand skips none. */
function between(row, from, to, first, last) {
  const step = Math.sign(to - from);
  if (!step) return [[row[to].name, last]];
  const painted = [];
  for (let i = from + step; ; i += step) {
    const ratio = first + ((last - first) * (i - from)) / (to - from);
    painted.push([row[i].name, Math.round(ratio * 100) / 100]);
    if (i === to) return painted;
  }
}
