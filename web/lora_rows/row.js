/** One row: a LoRA with its switch, its strengths and, when it is opened, the bars of its block weights. */

import { element } from "../block_weights/bars.js";
import { Editor } from "../block_weights/editor.js";
import { oneLine, plain, whileTyped } from "./lines.js";

const STEPS = { ArrowUp: 0.05, ArrowDown: -0.05, PageUp: 0.25, PageDown: -0.25 };
const MOST = 100; // as of the input
const PER_STEP = 4; // pixels of a drag over a strength for a step of 0.05

/** rows: the RowsEditor that it stands in. data: as `readRows` gives it. */
export class Row {
  constructor(rows, data) {
    Object.assign(this, { rows, data });
    this.grip = tool("grip", "⠿", "Drag to move, or arrow keys; Delete takes the row out");
    this.grip.addEventListener("keydown", (event) => this.#gripKey(event));
    this.grip.addEventListener("pointerdown", (event) => rows.drag(event, this));
    this.on = element("input", { type: "checkbox", className: "on", title: "Use this LoRA; off: muted" });
    this.on.addEventListener("change", () => this.#set({ muted: !this.on.checked }));
    this.out = tool("out", "✕", "Take this row out");
    this.out.addEventListener("click", () => rows.remove(this));
    this.root = element("div", { className: "row" });
    this.root.setAttribute("role", "listitem");
    this.root.append(data.line === undefined ? this.#lora() : this.#note());
  }

  #note() {
    this.text = element("span", { className: "note", title: "Text changes this line" });
    return element("div", { className: "line" }, this.grip, this.on, this.text, this.out);
  }

  #lora() {
    this.name = element("input", { type: "text", className: "name", spellcheck: false, autocomplete: "off" });
    this.name.setAttribute("list", this.rows.list.id);
    this.name.setAttribute("aria-label", "LoRA");
    this.name.addEventListener("pointerdown", () => this.#offerAll());
    this.name.addEventListener("blur", () => this.update(this.data));
    this.rows.chosen(this.name, (name) => {
      this.#set({ name });
      this.learn();
    });
    this.model = this.#number("model", "strength on the model");
    this.clip = this.#number("clip", "strength on the CLIP; empty: as on the model");
    this.weigh = tool("weigh", "▂▅▇", "Block weights of this LoRA");
    this.weigh.addEventListener("click", () => this.#open(!this.isOpen));
    this.bars = element("div", { className: "bars", hidden: true });
    const line = element("div", { className: "line" }, this.grip, this.on, this.name, this.model, this.clip, this.weigh, this.out);
    return element("div", {}, line, this.bars);
  }

  /** A field for a strength: keys, a drag sideways, or a number that is typed. */
  #number(key, title) {
    const field = element("input", { type: "text", inputMode: "decimal", className: `strength ${key}`, title: `${title}; drag sideways` });
    field.setAttribute("role", "spinbutton");
    field.setAttribute("aria-label", title);
    field.addEventListener("change", () => this.#typed(key, field));
    field.addEventListener("keydown", (event) => this.#numberKey(event, key, field));
    field.addEventListener("pointerdown", (event) => this.#scrub(event, key, field));
    return field;
  }

  get value() {
    return this.data.clip ?? this.data.model;
  }

  #typed(key, field) {
    const value = Number(field.value.replace(",", "."));
    if (key === "clip" && !field.value.trim()) this.#set({ clip: null });
    else if (field.value.trim() && Number.isFinite(value)) this.#set({ [key]: clamped(value) });
    else this.update(this.data);
  }

  #numberKey(event, key, field) {
    if (event.key === "Enter") return field.blur();
    if (event.key === "Escape") {
      this.update(this.data, true);
      return field.select();
    }
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    const by = STEPS[event.key] * (event.shiftKey ? 0.2 : 1);
    this.#set({ [key]: within((key === "clip" ? this.value : this.data.model) + by) });
    this.update(this.data, true);
  }

  /** A drag over a field that is not being typed in changes it; a click begins to type. */
  #scrub(event, key, field) {
    if (event.button !== 0 || document.activeElement === field) return;
    event.preventDefault();
    field.setPointerCapture(event.pointerId);
    const start = key === "clip" ? this.value : this.data.model;
    let moved = false;
    field.onpointermove = (move) => {
      const steps = Math.trunc((move.clientX - event.clientX) / PER_STEP);
      moved ||= steps !== 0;
      if (moved) this.#set({ [key]: within(start + steps * (move.altKey ? 0.01 : 0.05)) }, false);
    };
    field.onpointerup = field.onpointercancel = () => {
      field.onpointermove = field.onpointerup = field.onpointercancel = null;
      if (moved) return this.rows.commit(true);
      field.focus();
      field.select();
    };
  }

  /** The host's list of suggestions shows only what begins like the text in the field, which hides until one is chosen. */
  #offerAll() {
    if (document.activeElement === this.name) return;
    this.name.placeholder = this.name.value;
    this.name.value = "";
  }

  #gripKey(event) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (by) this.rows.shift(this, by);
    else if (event.key === "Delete" || event.key === "Backspace") this.rows.remove(this);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #set(changes, done = true) {
    Object.assign(this.data, changes);
    this.rows.commit(done);
  }

  get isOpen() {
    return Boolean(this.rows.host.view.open?.[this.data.name]);
  }

  #open(open) {
    const { [this.data.name]: _, ...others } = this.rows.host.view.open ?? {};
    this.rows.host.view.open = open ? { ...others, [this.data.name]: {} } : others;
    this.rows.update();
    this.rows.host.keep();
  }

  /** Shows a row's data; a field that is being typed in is left alone unless `all`. */
  update(data, all = false) {
    this.data = data;
    this.root.classList.toggle("muted", data.muted);
    this.on.checked = !data.muted;
    this.on.hidden = data.line !== undefined && data.line.startsWith("#");
    if (data.line !== undefined) return void (this.text.textContent = data.line);
    this.on.setAttribute("aria-label", `use ${data.name}`);
    const show = (field, text) => { if (all || document.activeElement !== field) field.value = text; };
    show(this.name, data.name);
    if (document.activeElement !== this.name) this.#mark();
    show(this.model, plain(data.model));
    show(this.clip, data.clip === null ? "" : plain(data.clip));
    this.clip.placeholder = plain(data.model);
    for (const [field, value] of [[this.model, data.model], [this.clip, this.value]]) field.setAttribute("aria-valuenow", value);
    this.weigh.classList.toggle("used", data.blocks.trim() !== "");
    this.weigh.setAttribute("aria-expanded", String(this.isOpen));
    this.bars.hidden = !this.isOpen;
    if (this.isOpen) this.#showBars();
  }

  #showBars() {
    if (!this.editor) {
      const root = element("div");
      this.bars.append(root);
      this.editor = new Editor(root, this);
      this.learn();
    } else if (this.editor.shown !== this.data.blocks) this.editor.update();
  }

  /** Shows whether the file of the row is there, which a name that was typed and left says nothing of. */
  #mark() {
    const missing = Boolean(this.rows.files && !this.rows.fileOf(this.data.name));
    this.name.classList.toggle("missing", missing);
    this.name.title = missing ? `${this.data.name}: no file of this name, or several, in the loras folders` : this.data.name;
  }

  /** Whether its file is there, and which blocks it has. */
  async learn() {
    if (this.data.line !== undefined) return;
    this.#mark();
    const turn = (this.turn = (this.turn ?? 0) + 1);
    if (!this.editor) return;
    const known = await this.rows.host.know(this.rows.fileOf(this.data.name) ?? this.data.name);
    if (turn === this.turn) this.editor.learn(known);
  }

  dispose() {
    this.editor?.dispose();
    this.root.remove();
  }

  // What the editor of block weights asks of its host.

  read = () => this.data.blocks;

  write = (text, done) => this.#set({ blocks: done ? oneLine(text) : whileTyped(text) }, done);

  get view() {
    return this.rows.host.view.open?.[this.data.name] ?? {};
  }

  keep = () => this.rows.host.keep();

  resized() {} // the rows see it themselves

  architectures = () => this.rows.host.architectures();

  choose = (name) => this.rows.host.choose(name);
}

const clamped = (value) => Math.min(MOST, Math.max(-MOST, value));

/** Sums of steps without the dust of binary fractions. */
const within = (value) => clamped(Math.round(value * 1e4) / 1e4);

export function tool(className, text, title) {
  const made = element("button", { type: "button", className, textContent: text, title });
  made.setAttribute("aria-label", title);
  return made;
}
