/** The row of tools above the bars. */

import { element } from "./bars.js";

const SHAPES = [["flat", "flat"], ["rise", "ramp up"], ["fall", "ramp down"], ["hump", "hump"], ["valley", "valley"]];

export class Toolbar {
  constructor(editor) {
    this.editor = editor;
    this.presets = menu("Presets", "Replace all weights by a preset", (blocks) => editor.write(blocks, true));
    this.shapes = menu("Shape", "Shape of the selected blocks, or of the family of the current one", (name) => editor.apply(name));
    fill(this.shapes, SHAPES.map(([value, text]) => ({ value, text })));
    this.architectures = menu("model", "The architecture whose blocks to show", (name) => editor.host.choose(name));
    this.architectures.addEventListener("pointerdown", () => this.#listArchitectures());
    this.architectures.addEventListener("focus", () => this.#listArchitectures());
    this.bars = [
      this.shapes,
      button("Solo", "Mute all but the selected blocks; again: back (s)", () => editor.solo(editor.chosen("current"))),
      button("Mute", "Mute the selected blocks, or give their ratio back (m)", () => editor.mute(editor.chosen("current"))),
      button("Reset", "Selected blocks, or all, back to 1 (Delete)", () => editor.reset(editor.chosen("all"))),
    ];
    this.compact = button("Compact", "Low bars without labels", () => editor.look({ compact: !editor.host.view.compact }));
    this.text = button("Text", "The weights as text", () => editor.look({ text: !editor.host.view.text }));
    this.root = element("div", { className: "tools" },
      this.presets, ...this.bars, element("span", { className: "gap" }), this.compact, this.text);
    this.root.setAttribute("role", "toolbar");
    this.root.setAttribute("aria-label", "block weights");
  }

  learn({ presets = [] }) {
    this.presets.hidden = !presets.length;
    fill(this.presets, presets.map(({ name, blocks, family, own }) => (
      { value: blocks, text: name, group: own ? `${family} (own)` : family })));
  }

  show({ asText, known, compact }) {
    this.bars.forEach((tool) => { tool.hidden = asText; });
    this.compact.hidden = asText;
    this.text.hidden = !known;
    this.text.textContent = asText ? "Bars" : "Text";
    this.text.setAttribute("aria-pressed", String(asText));
    this.compact.setAttribute("aria-pressed", String(Boolean(compact)));
    this.root.hidden = !known && this.presets.hidden;
  }

  async #listArchitectures() {
    if (this.architectures.options.length > 1) return;
    const names = await this.editor.host.architectures();
    if (names.length) fill(this.architectures, names.map((name) => ({ value: name, text: name })));
  }
}

function button(text, title, act) {
  const made = element("button", { type: "button", textContent: text, title });
  made.addEventListener("click", act);
  return made;
}

/** A select whose first option is its name, and which falls back to it after every choice. */
function menu(name, title, act) {
  const made = element("select", { title });
  made.setAttribute("aria-label", `${name}: ${title}`);
  made.append(element("option", { textContent: name, value: "", hidden: true, selected: true }));
  made.addEventListener("change", () => {
    const { value } = made;
    made.selectedIndex = 0;
    act(value);
  });
  return made;
}

function fill(select, options) {
  const first = select.options[0];
  const groups = new Map();
  for (const { value, text, group } of options) {
    const option = element("option", { value, textContent: text });
    if (!group) {
      groups.set(option, option);
      continue;
    }
    if (!groups.has(group)) groups.set(group, element("optgroup", { label: group }));
    groups.get(group).append(option);
  }
  select.replaceChildren(first, ...groups.values());
  select.selectedIndex = 0;
}
