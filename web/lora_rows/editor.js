/** Rows of LoRAs on one string. It knows nothing of ComfyUI; `host` does. */

import { element } from "../block_weights/bars.js";
import { keepTyping } from "../keys.js";
import { canStand, listed, readRows, writeRows } from "./lines.js";
import { Row, tool } from "./row.js";

let editors = 0;

/**
 * Puts an editor into an element.
 *
 * host: read() gives the text, write(text, done) takes it (done: the gesture has ended), view is an object that keeps {open: a
 * view of the bars by LoRA, text}, keep() is called when it has changed, resized(height), know(file) promises what an editor of block
 * weights learns, architectures() and choose(name) are its.
 */
export class RowsEditor {
  constructor(root, host) {
    Object.assign(this, { root, host, rows: [], files: null });
    this.list = element("datalist", { id: `bottega-loras-${++editors}` });
    this.body = element("div", { className: "rows" });
    this.body.setAttribute("role", "list");
    this.body.setAttribute("aria-label", "LoRAs");
    this.heads = element("div", { className: "heads" }, element("span", { textContent: "model" }), element("span", { textContent: "CLIP" }));
    this.text = element("textarea", { spellcheck: false, placeholder: "<lora:ink:0.8>\n<lora:wash:0.6:lbw=MID=0>" });
    this.text.setAttribute("aria-label", "LoRAs as text");
    this.text.addEventListener("input", () => this.#take(this.text.value, false));
    this.text.addEventListener("change", () => this.#take(this.text.value, true));
    this.content = element("div", { className: "content" }, this.list, this.heads, this.body, this.text, this.#foot());
    root.classList.add("bottega-rows");
    root.append(this.content);
    root.addEventListener("keydown", (event) => event.target.matches("input, textarea") && keepTyping(event));
    root.addEventListener("wheel", (event) => this.#scrolls(event) && event.stopPropagation());
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(this.content);
  }

  dispose() {
    this.observer.disconnect();
    this.rows.forEach((row) => row.editor?.dispose());
  }

  #scrolls = ({ target }) => target === this.text && this.text.scrollHeight > this.text.clientHeight;

  #foot() {
    this.add = element("input", { type: "text", className: "add", placeholder: "Add a LoRA", autocomplete: "off", spellcheck: false });
    this.add.setAttribute("list", this.list.id);
    this.add.setAttribute("aria-label", "add a LoRA");
    this.chosen(this.add, (name) => this.append(name));
    this.all = tool("all", "Mute all", "Mute every row, or use every row");
    this.all.addEventListener("click", () => this.#muteAll());
    this.asText = tool("as-text", "Text", "The rows as text");
    this.asText.addEventListener("click", () => this.#look({ text: !this.host.view.text }));
    return element("div", { className: "foot" }, this.add, this.all, this.asText);
  }

  /** Calls `take(name)` once a listed file is chosen in a field: from the list, or typed and confirmed. */
  chosen(field, take) {
    const confirm = () => {
      const file = field.value && this.fileOf(field.value);
      field.classList.toggle("missing", Boolean(field.value && !file));
      if (file) take(file);
    };
    field.addEventListener("input", ({ inputType }) => {
      field.classList.remove("missing");
      if (!inputType || inputType === "insertReplacementText") confirm();
    });
    field.addEventListener("change", confirm);
    field.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      field.value = "";
      field.blur();
    });
  }

  fileOf = (name) => listed(name, this.files ?? []);

  /** The files that can be chosen. */
  offer(files) {
    this.files = files;
    this.list.replaceChildren(...files.filter(canStand).map((value) => element("option", { value })));
    this.rows.forEach((row) => row.learn());
  }

  /** Shows the text as it is now. Rows that stay keep their elements, and what is being typed in them. */
  update() {
    const text = (this.shown = this.host.read());
    const asText = Boolean(this.host.view.text);
    if (this.text.value !== text) this.text.value = text;
    this.body.hidden = this.add.hidden = this.all.hidden = asText;
    this.text.hidden = !asText;
    this.asText.textContent = asText ? "Rows" : "Text";
    this.asText.setAttribute("aria-pressed", String(asText));
    this.#show(readRows(text));
    this.all.textContent = this.#loras().length && this.#loras().every(({ data }) => data.muted) ? "Use all" : "Mute all";
    this.heads.hidden = asText || !this.rows.some(({ data }) => data.line === undefined);
    this.all.disabled = !this.#loras().length;
    this.layout();
  }

  #show(read) {
    const left = [...this.rows];
    const rows = read.map((data) => {
      const at = left.findIndex((row) => row.data.name === data.name && row.data.line === data.line);
      return at < 0 ? Object.assign(new Row(this, data), { isNew: true }) : left.splice(at, 1)[0];
    });
    this.rows = rows; // before rows are disposed of: what loses the focus asks for them
    left.forEach((row) => row.dispose());
    rows.forEach((row, i) => {
      if (this.body.children[i] !== row.root) this.body.insertBefore(row.root, this.body.children[i] ?? null);
      row.update(read[i]);
      if (row.isNew) row.learn();
      row.isNew = false;
    });
  }

  #loras = () => this.rows.filter(({ data }) => data.line === undefined || data.line.startsWith("<"));

  /** Writes the rows as they are. */
  commit(done) {
    this.#take(writeRows(this.rows.map(({ data }) => data)), done);
  }

  #take(text, done) {
    this.host.write(text, done);
    this.update();
  }

  append(name) {
    this.add.value = "";
    const added = { name, muted: false, model: 1, clip: null, blocks: "" };
    this.#take(writeRows([...this.rows.map(({ data }) => data), added]), true);
  }

  remove(row) {
    const at = this.rows.indexOf(row);
    this.#take(writeRows(this.rows.filter((other) => other !== row).map(({ data }) => data)), true);
    (this.rows[Math.min(at, this.rows.length - 1)]?.grip ?? this.add).focus({ preventScroll: true });
  }

  #muteAll() {
    const mute = !this.#loras().every(({ data }) => data.muted);
    this.#loras().forEach(({ data }) => { data.muted = mute; });
    this.commit(true);
  }

  /** Moves a row up or down by one and keeps the keyboard on it. */
  shift(row, by) {
    if (this.#swap(row, by)) this.commit(true);
    row.grip.focus({ preventScroll: true });
  }

  /** Exchanges a row with its neighbour, whose element is the one that moves: the other may be held by a pointer. */
  #swap(row, by) {
    const at = this.rows.indexOf(row);
    const other = this.rows[at + by];
    if (!other) return false;
    [this.rows[at], this.rows[at + by]] = [other, row];
    this.body.insertBefore(other.root, by > 0 ? row.root : row.root.nextSibling);
    return true;
  }

  drag(event, row) {
    if (event.button !== 0) return;
    event.preventDefault();
    row.grip.focus({ preventScroll: true });
    row.grip.setPointerCapture(event.pointerId);
    row.root.classList.add("dragged");
    let moved = false;
    row.grip.onpointermove = ({ clientY }) => {
      for (const by of [-1, 1]) while (this.#beyond(row, by, clientY) && this.#swap(row, by)) moved = true;
    };
    row.grip.onpointerup = row.grip.onpointercancel = () => {
      row.grip.onpointermove = row.grip.onpointerup = row.grip.onpointercancel = null;
      row.root.classList.remove("dragged");
      if (moved) this.commit(true);
    };
  }

  /** Whether a pointer at this height has passed the middle of the next row in this direction. */
  #beyond(row, by, y) {
    const next = this.rows[this.rows.indexOf(row) + by]?.root.getBoundingClientRect();
    return Boolean(next) && (y - (next.top + next.height / 2)) * by > 0;
  }

  #look(changes) {
    Object.assign(this.host.view, changes);
    this.update();
    this.host.keep();
  }

  layout() {
    const height = this.content.offsetHeight;
    if (height && height !== this.height) {
      this.height = height;
      this.host.resized(height);
    }
  }
}
