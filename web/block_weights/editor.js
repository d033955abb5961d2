/** The editor of block weights: bars, tools and text on one string. It knows nothing of ComfyUI; `host` does. */

import { keepTyping } from "../keys.js";
import { Bars, element } from "./bars.js";
import { change, plainNumber } from "./editing.js";
import { family, resolve } from "./language.js";
import { shape } from "./shapes.js";
import { Toolbar } from "./toolbar.js";

const STEPS = { ArrowUp: 1, ArrowDown: -1, PageUp: 5, PageDown: -5 };
const UNKNOWN = "The blocks are not known yet. Choose a LoRA file, run the node once, or say which model it is for:";
const PARTIAL = "From the names in the file: the model may have more blocks. Run the node once, or say which model it is for:";

/**
 * Puts an editor into an element.
 *
 * host: read() gives the text, write(text, done) takes it (done: the gesture has ended), view is an object that keeps
 * folded families, compact and text mode, keep() is called when it has changed, resized() when the height has,
 * architectures() lists names, choose(name) takes one. `known` is {blocks: [{block, path, in_file, energy}], message,
 * presets, layouts, partial: whether the model may have more blocks}.
 */
export class Editor {
  constructor(root, host) {
    Object.assign(this, { root, host, selection: new Set() });
    this.known = { blocks: [], message: "" };
    this.book = { blocks: [] };
    this.#forget();
    this.tools = new Toolbar(this);
    this.bars = new Bars(this.#gestures());
    this.text = element("textarea", { spellcheck: false, placeholder: "IN04=0.5; MID=0; OUT*=0.8" });
    this.text.setAttribute("aria-label", "block weights as text");
    this.text.addEventListener("input", () => this.write(this.text.value, false));
    this.#onLeft(this.text, () => this.write(this.text.value, true));
    this.number = element("input", { type: "text", inputMode: "decimal" });
    this.number.setAttribute("aria-label", "ratio of the chosen blocks");
    this.#onLeft(this.number, () => this.#typed());
    this.number.addEventListener("keydown", (event) => this.#numberKey(event));
    this.note = element("span");
    this.reading = element("div", { className: "reading" }, this.number, this.note);
    this.also = element("div", { className: "also" });
    this.hint = element("div", { className: "hint" });
    this.content = element("div", { className: "content" },
      this.tools.root, this.hint, this.bars.root, this.text, this.also, this.reading);
    root.classList.add("bottega-blocks");
    root.append(this.content);
    root.addEventListener("keydown", (event) => this.#inField(event) && keepTyping(event));
    root.addEventListener("wheel", (event) => this.#scrolls(event) && event.stopPropagation());
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(root);
  }

  dispose() {
    this.typing = null;
    this.observer.disconnect();
  }

  /** Calls `take()` when a field is left in which a person typed; `change` does not come for what a script wrote there. */
  #onLeft(field, take) {
    field.addEventListener("input", () => { this.typing = field; });
    field.addEventListener("blur", () => {
      if (this.typing !== field) return;
      this.typing = null;
      take();
    });
  }

  /** What is about blocks that may be there no more. remembered: ratios of muted blocks, for unmuting. */
  #forget() {
    this.selection.clear();
    Object.assign(this, { current: null, anchor: null, before: null, remembered: new Map(), typing: null });
  }

  #inField = ({ target }) => target === this.text || target === this.number;
  #scrolls = ({ target }) => target === this.text && this.text.scrollHeight > this.text.clientHeight;

  /** New knowledge of the blocks; the bars are made anew only when the list of blocks is another. */
  learn(known) {
    const names = known.blocks.map(({ block }) => block);
    const same = this.bars.bars.size === names.length && names.every((name) => this.bars.bars.has(name));
    this.known = known;
    this.book = known;
    this.most = Math.max(0, ...known.blocks.map(({ energy }) => energy ?? 0));
    this.whole = Math.hypot(...known.blocks.map(({ energy }) => energy ?? 0));
    if (!same) {
      this.#forget();
      this.bars.build(names, (name) => this.host.view.folded?.[name]);
    }
    this.tools.learn(known);
    this.update();
  }

  /** Shows the text as it is now. */
  update() {
    const text = (this.shown = this.host.read());
    const known = this.book.blocks.length > 0;
    const asText = this.host.view.text || !known;
    showText(this.text, text);
    this.state = resolve(text, this.book);
    for (const part of [this.bars.root, this.reading]) part.hidden = asText;
    this.text.hidden = !asText;
    this.root.classList.toggle("compact", Boolean(this.host.view.compact));
    this.tools.show({ asText, known, compact: this.host.view.compact });
    this.#showHint(known);
    this.#showOthers();
    if (!asText) this.bars.paint(this.#states(), this.selection);
    this.#read(this.current);
    this.layout();
  }

  #states() {
    return new Map(this.book.blocks.map(({ block, in_file, energy }) => {
      const { value, parts, text } = this.state.ratios.get(block);
      const share = energy && this.most ? Math.max(0.08, energy / this.most) : 0;
      const state = { value, text, parts: parts.length, share, absent: in_file === false };
      return [block, { ...state, title: this.#describe(block, value, text, parts) }];
    }));
  }

  #describe(block, value, text, parts) {
    const { in_file, energy } = this.book.blocks.find((other) => other.block === block);
    const words = [value === null ? `${text}, which the server fills in` : plainNumber(value)];
    if (in_file === false) words.push("not in this LoRA");
    if (energy) words.push(`‖ΔW‖ ${energy.toPrecision(3)}`, `${Math.round((100 * energy ** 2) / this.whole ** 2)} % of its energy`);
    if (in_file && energy === null) words.push("energy depends on the model");
    if (parts.length) words.push(`also ${parts.map((part) => part.text).join(", ")}`);
    return words.join(" · ");
  }

  #showHint(known) {
    const { message, partial } = this.known;
    const words = message || (!known ? UNKNOWN : partial ? PARTIAL : "");
    this.hint.hidden = !words;
    this.hint.replaceChildren(words, ...(known && !partial ? [] : [" ", this.tools.architectures]));
  }

  /** What stands in the text and no bar shows. */
  #showOthers() {
    const shown = (item) => item.kind === "default" || (item.kind === "weights" && !item.parts.size && !item.lost.length);
    const items = this.state.items.filter((item) => item.kind !== "default" && (item.borrowed || !shown(item)));
    const texts = new Map(items.map((item) => [item.start, item]));
    this.also.hidden = !texts.size || (!this.book.blocks.length && !items.some(({ kind }) => kind === "bad"));
    this.also.replaceChildren(texts.size ? "in the text: " : "", ...[...texts.values()].map((item) => this.#chip(item)));
  }

  #chip(item) {
    const lost = item.lost.length > 0 && this.book.blocks.length > 0;
    const bad = item.kind === "bad" || (lost && !this.known.partial);
    const why = item.kind === "letter" ? "what this letter is in this row" : item.problem ?? (lost ? `not among the blocks known here: ${item.lost.join(", ")}`
      : item.borrowed ? "the bars show what this stands for" : "kept as it is; the bars do not show it");
    const chip = element("button", { type: "button", textContent: item.text.replace(/\s+/g, " "), title: why,
      className: bad ? "bad" : "" });
    chip.addEventListener("click", () => {
      this.look({ text: true });
      this.text.focus();
      this.text.setSelectionRange(item.start, item.end);
    });
    return chip;
  }

  layout() {
    const width = this.root.clientWidth;
    if (!width) return;
    this.bars.layout(width - 4, Boolean(this.host.view.compact));
    const height = this.content.offsetHeight;
    if (height && height !== this.height) {
      this.height = height;
      this.host.resized(height);
    }
  }

  /** Changes what is kept with the node: {text, compact, folded}. */
  look(changes) {
    Object.assign(this.host.view, changes);
    this.host.keep();
    this.update();
  }

  write(text, done) {
    this.host.write(text, done);
    this.update();
  }

  /** Gives blocks other ratios: edits as in `change`. */
  edit(edits, from = this.host.read()) {
    const some = edits.filter(({ aliases }) => aliases.length);
    if (some.length) this.write(change(from, this.book, some), true);
  }

  /** The selected blocks, else those that `otherwise` names: the current one, its family, or all. */
  chosen(otherwise) {
    const all = this.book.blocks.map(({ block }) => block);
    if (this.selection.size) return all.filter((alias) => this.selection.has(alias));
    const current = this.current ?? all[0];
    if (otherwise === "current") return all.length ? [current] : [];
    return otherwise === "family" ? all.filter((alias) => family(alias) === family(current)) : all;
  }

  ratio = (alias) => this.state.ratios.get(alias)?.value ?? null;

  /** Mutes blocks, or gives muted ones the ratio back that they had. */
  mute(aliases) {
    if (aliases.every((alias) => this.ratio(alias) === 0)) {
      return this.edit(aliases.map((alias) => ({ aliases: [alias], value: this.remembered.get(alias) ?? 1 })));
    }
    aliases.forEach((alias) => this.ratio(alias) && this.remembered.set(alias, this.ratio(alias)));
    this.edit([{ aliases, value: 0 }]);
  }

  /** Mutes all other blocks; the same again gives the text back that was there before. */
  solo(aliases) {
    const [alone, text] = [aliases.join(), this.host.read()];
    if (this.before?.alone === alone && this.before.solo === text) return this.write(this.before.text, true);
    const others = this.book.blocks.map(({ block }) => block).filter((alias) => !aliases.includes(alias));
    const silent = aliases.filter((alias) => this.ratio(alias) === 0);
    this.edit([{ aliases: others, value: 0 }, { aliases: silent, value: 1 }]);
    this.before = { alone, text, solo: this.host.read() };
  }

  reset = (aliases) => this.edit([{ aliases, value: 1 }]);

  apply(name) {
    const aliases = this.chosen("family");
    if (!aliases.length) return;
    const values = aliases.map(this.ratio).filter((value) => value !== null);
    const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1]; // R, which the server fills in
    this.edit(shape(name, aliases, low < high ? low : 0, name === "flat" ? this.ratio(this.current ?? aliases[0]) ?? 1 : high || 1));
  }

  #gestures() {
    return {
      press: (alias) => this.#press(alias),
      paint: (painted) => this.#paint(painted),
      shift: (by, held) => this.#paint([...this.selection].map((alias) => {
        const from = this.started.get(alias) ?? 1;
        return [alias, held(from, from + by)];
      })),
      release: () => this.write(this.host.read(), true),
      choose: (alias, range) => this.choose(alias, range),
      focus: (alias) => { this.current = alias; this.#read(alias); },
      hover: (alias) => this.#read(alias ?? this.current),
      fold: (name, folded) => { this.bars.fold(name, folded); this.look({ folded: { ...this.host.view.folded, [name]: folded } }); },
      key: (event, alias) => this.#key(event, alias),
      allKey: (event, aliases) => this.#allKey(event, aliases),
      type: () => { this.number.focus(); this.number.select(); },
    };
  }

  /** Begins a drag; true if it moves the whole selection. */
  #press(alias) {
    this.base = this.host.read();
    this.painted = new Map();
    this.started = new Map([...this.selection].map((member) => [member, this.ratio(member)]));
    if (this.selection.has(alias) && this.selection.size > 1) return true;
    this.selection.clear();
    this.anchor = alias;
    return false;
  }

  #paint(painted) {
    painted.forEach(([alias, value]) => this.painted.set(alias, value));
    const groups = new Map();
    for (const [alias, value] of this.painted) groups.set(value, [...(groups.get(value) ?? []), alias]);
    this.current = painted.at(-1)?.[0] ?? this.current;
    this.write(change(this.base, this.book, [...groups].map(([value, aliases]) => ({ aliases, value }))), false);
  }

  /** Adds a block to the selection or takes it out; with range, all from the last one chosen to this one. */
  choose(alias, range) {
    if (range) {
      const all = this.book.blocks.map(({ block }) => block);
      const [first, last] = [all.indexOf(this.anchor ?? alias), all.indexOf(alias)].sort((a, b) => a - b);
      all.slice(first, last + 1).forEach((member) => this.selection.add(member));
    } else {
      if (!this.selection.delete(alias)) this.selection.add(alias);
      this.anchor = alias;
    }
    this.update();
  }

  #key(event, alias) {
    const handled = this.#keyed(event, alias);
    if (!handled) return;
    event.preventDefault();
    event.stopPropagation();
  }

  #keyed({ key, shiftKey, ctrlKey, metaKey }, alias) {
    if (ctrlKey || metaKey) {
      if (key.toLowerCase() !== "a") return false;
      this.book.blocks.forEach(({ block }) => this.selection.add(block));
      this.update();
      return true;
    }
    if (key in STEPS) return this.#step(this.chosen("current"), STEPS[key] * (shiftKey ? 0.01 : 0.05));
    if (["ArrowLeft", "ArrowRight", "Home", "End"].includes(key)) return this.#walk(alias, key, shiftKey);
    if (key === "Escape" && this.selection.size) this.selection.clear();
    else if (key === " ") return this.choose(alias, false) ?? true;
    else if (key === "m") this.mute(this.chosen("current"));
    else if (key === "s") this.solo(this.chosen("current"));
    else if (key === "Delete" || key === "Backspace") this.reset(this.chosen("current"));
    else if (key === "Enter" || /^[-.\d]$/.test(key)) return this.#startTyping(key);
    else return false;
    this.update();
    return true;
  }

  #allKey(event, aliases) {
    const step = { ...STEPS, ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const isBack = event.key === "Delete" || event.key === "Backspace";
    if (!step && !isBack) return;
    event.preventDefault();
    event.stopPropagation(); // the page would delete the node
    if (isBack) this.reset(aliases);
    else this.#step(aliases, step * (event.shiftKey ? 0.01 : 0.05));
  }

  #step(aliases, by) {
    this.edit(aliases.map((alias) => ({ aliases: [alias], value: Math.round(((this.ratio(alias) ?? 1) + by) * 100) / 100 })));
    return true;
  }

  #walk(alias, key, extend) {
    const row = [...this.bars.families.get(family(alias)).aliases];
    const at = { ArrowLeft: row.indexOf(alias) - 1, ArrowRight: row.indexOf(alias) + 1, Home: 0, End: row.length - 1 }[key];
    const next = row[Math.min(row.length - 1, Math.max(0, at))];
    this.anchor = extend ? (this.anchor ?? alias) : next;
    this.bars.focus(next);
    if (extend) this.choose(next, true);
    return true;
  }

  #startTyping(key) {
    this.number.focus();
    if (key === "Enter") this.number.select();
    else Object.assign(this, { typing: this.number }).number.value = key;
    return true;
  }

  #numberKey(event) {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    if (event.key === "Escape") this.typing = null;
    const back = this.current;
    this.number.blur();
    this.#read(back);
    if (back) this.bars.focus(back);
  }

  #typed() {
    const value = Number(this.number.value.replace(",", "."));
    if (this.number.value.trim() && Number.isFinite(value)) this.edit([{ aliases: this.chosen("current"), value }]);
    else this.#read(this.current);
  }

  /** The line below the bars: the block looked at, or how much of the model the LoRA has. */
  #read(alias) {
    const state = alias && this.state?.ratios.get(alias);
    this.number.hidden = !state;
    if (!state) {
      const within = this.known.blocks.filter(({ in_file }) => in_file).length;
      const told = this.known.blocks.some(({ in_file }) => in_file !== undefined);
      const share = !told ? "" : this.known.partial ? `${within} blocks named in the file`
        : `${within} of ${this.known.blocks.length} blocks are in the LoRA`;
      this.note.textContent = [this.known.architecture, share].filter(Boolean).join(" · ");
      return;
    }
    if (document.activeElement !== this.number) this.number.value = state.value === null ? state.text : plainNumber(state.value);
    const many = this.selection.size > 1 && this.selection.has(alias) ? ` + ${this.selection.size - 1}` : "";
    this.note.replaceChildren(element("b", { textContent: alias + many }),
      ` ${this.#describe(alias, state.value, state.text, state.parts)}`);
  }
}

/** Shows a text in its field; who types there stays at the same place before its end. */
function showText(field, text) {
  if (field.value === text) return;
  const behind = field.value.length - field.selectionEnd;
  field.value = text;
  if (document.activeElement === field) field.setSelectionRange(text.length - behind, text.length - behind);
}
