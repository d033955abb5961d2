/** The editor as a widget of a node: the string is the widget's value, what it looks like is kept with the node. */

import { Editor } from "./editor.js";
import { chain, fit } from "../panel.js";
import { architectures, fitting, lora, merge, presets } from "./knowledge.js";

export const TYPE = "BOTTEGA_BLOCKS";
const LINKED = 12; // pixels, beside the margins, of the row that is left when a link brings the text

/** A constructor for the host's getCustomWidgets. */
export const blocksWidget = ({ app, api }) => (node, name, [, options]) => {
  const root = document.createElement("div");
  const state = new BlocksWidget(node, name, root, app, api, options.default ?? "");
  state.widget = node.addDOMWidget(name, TYPE, root, {
    getValue: () => state.text,
    setValue: (text) => state.set(text),
    getMinHeight: () => (root.inert ? LINKED : state.height),
    hideOnZoom: false,
    margin: 8,
  });
  state.attach();
  return { widget: state.widget, minWidth: 400, minHeight: 220 };
};

class BlocksWidget {
  constructor(node, name, root, app, api, text) {
    Object.assign(this, { node, name, root, app, api, text: String(text), height: 120 });
    this.editor = new Editor(root, this);
  }

  /** Listens to the node this widget is on, which takes its listeners along when it goes. */
  attach() {
    const { node, root } = this;
    chain(this.widget, "draw", (pen, _node, _width, y) => root.inert && label(pen, this.name, y));
    chain(node, "onConnectionsChange", () => this.#followLinks());
    chain(node, "onExecuted", (output) => this.#executed(output));
    chain(node, "onConfigure", () => { this.#followLinks(); this.refresh(); });
    chain(node, "onRemoved", () => this.#dispose());
    chain(node, "onConfigure", () => requestAnimationFrame(() => requestAnimationFrame(() => this.#claim())));
    this.#watch(["lora_name"]);
    queueMicrotask(() => { // these come after this one
      this.#watch(["vector_mode", "a", "b"]);
      this.refresh();
    });
  }

  #dispose() {
    this.editor.dispose();
    this.root.dataset.removedFrom = String(this.node.id);
  }

  /** Nodes 2.0 may keep showing the widget of a removed node when another comes back with its id, as undo does it. */
  #claim() {
    if (this.root.isConnected) return;
    document.querySelector(`.bottega-blocks[data-removed-from="${CSS.escape(this.node.id)}"]`)?.replaceWith(this.root);
  }

  #watch(names) {
    for (const other of this.node.widgets) {
      if (names.includes(other.name)) chain(other, "callback", () => this.refresh());
    }
  }

  set(text) {
    const next = typeof text === "string" ? text : "";
    if (next === this.text) return;
    this.text = next;
    this.editor.update();
  }

  get view() {
    return (this.node.properties.bottega_view ??= {});
  }

  keep() {
    this.#changed(true);
    queueMicrotask(() => this.#shrink());
  }

  read = () => this.text;

  write(text, done) {
    if (text !== this.text) {
      this.text = text;
      this.widget.callback?.(text);
    }
    this.#changed(done);
  }

  #changed(done) {
    this.node.setDirtyCanvas?.(true, true);
    this.node.graph?.change?.();
    if (!done) return;
    const tracker = this.app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
    (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
  }

  resized(height) {
    this.height = height;
    this.root.style.minHeight = `${height}px`;
    fit(this.node);
  }

  /** After folding and the like the node is as high as it needs to be. */
  #shrink() {
    this.node.setSize([this.node.size[0], LiteGraph.vueNodesMode ? 0 : this.node.computeSize()[1]]);
  }

  #slotOf = (name) => this.node.inputs?.findIndex((input) => input.widget?.name === name) ?? -1;
  #isLinked = (name) => this.#slotOf(name) >= 0 && this.node.isInputConnected(this.#slotOf(name));

  /** The classic renderer hides what a link brings, and would leave a hole as high as the bars. */
  #followLinks() {
    const linked = this.#isLinked(this.name);
    if (linked === this.root.inert) return;
    this.root.inert = linked;
    this.#shrink();
  }

  /** Name of the chosen file; null where there is none or a link brings it. */
  get file() {
    const widget = this.node.widgets?.find(({ name }) => name === "lora_name");
    return widget && !this.#isLinked("lora_name") && typeof widget.value === "string" ? widget.value || null : null;
  }

  async refresh() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const file = this.file;
    const [found, all, table] = await Promise.all([
      file ? lora(this.api, file) : null, presets(this.api), architectures(this.api)]);
    if (turn !== this.turn) return; // another file was chosen meanwhile
    const { bottega_blocks: ran, bottega_architecture: chosen } = this.node.properties;
    const blocks = merge(found, ran ?? null, table[chosen] ?? null, file);
    const { menu, layouts, texts } = fitting(all, blocks);
    this.editor.learn({
      blocks, architecture: found?.architecture || (blocks.length && !ran ? chosen : ""), message: found?.error ?? "",
      presets: menu, texts, letters: this.#letters(),
      layouts: this.#setting("vector_mode") === "inspire" ? undefined : layouts,
    });
  }

  #setting = (title) => this.node.widgets?.find(({ name }) => name === title)?.value;

  /** What A and B stand for; small letters are half of them. */
  #letters() {
    const [a, b] = [this.#setting("a"), this.#setting("b")];
    return a === undefined ? {} : { A: a, a: a / 2, B: b, b: b / 2 };
  }

  architectures = async () => Object.keys(await architectures(this.api));

  choose(name) {
    this.node.properties.bottega_architecture = name;
    this.#changed(true);
    this.refresh();
  }

  /** A run does not measure the blocks it mutes; what an earlier run of the same file measured still holds. */
  #remember(blocks) {
    const before = this.node.properties.bottega_blocks;
    if (!before || before.lora !== this.file || before.blocks.length !== blocks.length) return;
    const known = new Map(before.blocks.map(({ block, energy }) => [block, energy]));
    for (const entry of blocks) {
      if (entry.in_file && entry.energy === undefined) entry.energy = known.get(entry.block);
    }
  }

  #executed(output) {
    const text = output?.bottega_blocks?.[0];
    if (text === undefined) return;
    const blocks = typeof text === "string" ? JSON.parse(text) : text;
    this.#remember(blocks);
    this.node.properties.bottega_blocks = { lora: this.file, blocks };
    this.refresh();
  }
}

/** The name of the input on the canvas, where the classic renderer shows no element. */
function label(pen, name, y) {
  Object.assign(pen, { fillStyle: LiteGraph.WIDGET_SECONDARY_TEXT_COLOR, textAlign: "left" });
  pen.fillText(name, 20, y + 14);
}
