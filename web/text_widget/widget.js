/** A widget whose value is a readable string, with an editor of ours for it: what block weights and rows of LoRAs share. */

import { onGone } from "../opened.js";
import { onOutput } from "../outputs.js";
import { chain, fit } from "../panel.js";
import { isPromoted, nodesOf, owner } from "./promotion.js";

const LINKED = 12; // pixels, beside the margins, of the row that is left when a link brings the text

const live = new Set(); // every editor on the page

/** A constructor of widgets of `type` for the host's getCustomWidgets; Kind: a TextWidget. */
export const textWidget = (Kind, type, { app, api }) => (node, name, [, options]) => {
  const state = new Kind({ node, name, app, api });
  let text = String(options.default ?? "");
  state.own = { get: () => text, set: (next) => { text = next; } };
  // Unpacking a subgraph copies the node inside, which therefore keeps what its only node outside says.
  const saved = () => (isPromoted(node, name) && nodesOf(node.graph).length === 1 ? state.read() : text);
  state.widget = node.addDOMWidget(name, type, state.root, {
    getValue: saved, setValue: (next) => state.set(typeof next === "string" ? next : ""), ...state.looks,
  });
  state.attach();
  state.staysOpen();
  return { widget: state.widget, minWidth: 400, minHeight: 220 };
};

/** Looks again at the files, the runs and the settings that editors depend on: those of one node, or all. */
export function refreshEditors(node = null) {
  for (const each of live) if (!node || each.source?.node === node) each.refresh();
}

/**
 * An editor on a node. own: {get, set} of the text that this node itself has, which counts unless a subgraph promotes it.
 * What it shows is that of `source`: the node itself, or the one inside of a subgraph whose input is promoted.
 *
 * A kind of it makes `editor` ({shown, update(), dispose()}) and has learn(), executed(output, run), and `followed`: the widgets
 * beside it on which it depends.
 */
export class TextWidget {
  constructor({ node, name, app, api }) {
    Object.assign(this, { node, name, app, api, root: document.createElement("div"), height: 120 });
    this.editor = this.make();
    live.add(this);
  }

  get source() {
    return { node: this.node, name: this.name };
  }

  /** Options of the host's widget. */
  get looks() {
    return { getMinHeight: () => (this.root.inert ? LINKED : this.height), hideOnZoom: false, margin: 8 };
  }

  /** Listens to the node this widget is on, which takes its listeners along when it goes. */
  attach() {
    const { node } = this;
    chain(this.widget, "draw", (pen, _node, _width, y) => this.root.inert && label(pen, this.name, y));
    chain(node, "onConnectionsChange", () => this.followLinks());
    onOutput(node, (output, run) => this.executed(output, run));
    chain(node, "onConfigure", () => { this.followLinks(); this.refresh(); });
    onGone(node, () => this.dispose());
    chain(node, "onConfigure", () => this.claim());
    const watched = new Set();
    const watch = () => node.widgets.filter(({ name }) => this.followed.includes(name) && !watched.has(name))
      .forEach((other) => { watched.add(other.name); chain(other, "callback", () => refreshEditors(node)); });
    watch();
    queueMicrotask(() => { // the others come after this one
      watch();
      this.refresh();
    });
  }

  dispose() {
    live.delete(this);
    this.editor.dispose();
    this.root.dataset.removedFrom = this.#place;
  }

  get #place() {
    return `${this.node.id}/${this.name}`;
  }

  /** Nodes 2.0 may keep showing the widget of a removed node when another comes back with its id, as undo does it. */
  claim() {
    requestAnimationFrame(() => requestAnimationFrame(() => {
      if (this.root.isConnected) return;
      document.querySelector(`[data-removed-from="${CSS.escape(this.#place)}"]`)?.replaceWith(this.root);
    }));
  }

  /** What a subgraph promotes counts as linked inside it, where the host hides what is linked. */
  staysOpen() {
    const { widget, root } = this;
    let disabled = false;
    Object.defineProperty(widget, "computedDisabled", {
      configurable: true, get: () => Boolean(widget.disabled) || (disabled && root.inert), set: (next) => { disabled = next; },
    });
    const hidden = inherited(widget, "connectionSuppressed");
    if (!hidden?.set) return; // older hosts
    Object.defineProperty(widget, "connectionSuppressed", {
      configurable: true, get: () => hidden.get.call(widget), set: (next) => hidden.set.call(widget, next && root.inert),
    });
  }

  /** Takes a text that the host brings, as when a workflow is opened. */
  set(text) {
    if (text === this.own.get()) return;
    this.own.set(text);
    this.follow();
    this.#tell();
  }

  get view() {
    return (this.node.properties.bottega_view ??= {});
  }

  keep() {
    this.changed(true);
    queueMicrotask(() => this.#shrink());
  }

  /** The text that counts. */
  read() {
    const found = owner(this.node, this.name);
    return found && found.node !== this.node ? String(found.widget.value ?? "") : this.own.get();
  }

  write(text, done) {
    if (text !== this.read()) {
      const { node, widget } = owner(this.node, this.name) ?? this;
      if (node === this.node) this.own.set(text);
      else widget.value = text;
      this.widget.callback?.(text);
      this.#tell();
    }
    this.changed(done);
  }

  /** Other editors of the same text, inside and outside of a subgraph, show it too. */
  #tell() {
    for (const other of live) if (other !== this) other.follow();
  }

  /** Shows the text that counts, if that is another by now. */
  follow() {
    if (this.own && this.editor.shown !== this.read()) this.editor.update();
  }

  changed(done) {
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

  /** The classic renderer hides what a link brings, and would leave a hole as high as the editor. */
  followLinks() {
    const linked = !owner(this.node, this.name);
    if (linked === this.root.inert) return;
    this.root.inert = linked;
    this.#shrink();
  }

  /** A setting of the source as it reaches the prompt; undefined where a link brings it, and where there is none. */
  setting(name) {
    const { node, via } = this.source ?? {};
    return node && owner(node, name, via)?.widget.value;
  }

  /** Learns anew what there is to know; `turn` tells a slow answer that another question has come since. */
  async refresh() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    if (this.node.graph) this.followLinks();
    await this.learn(() => turn === this.turn);
  }
}

/** The name of the input on the canvas, where the classic renderer shows no element. */
function label(pen, name, y) {
  Object.assign(pen, { fillStyle: LiteGraph.WIDGET_SECONDARY_TEXT_COLOR, textAlign: "left" });
  pen.fillText(name, 20, y + 14);
}

/** The accessor of a property that an object has from its class. */
function inherited(object, name) {
  for (let each = object; each; each = Object.getPrototypeOf(each)) {
    const found = Object.getOwnPropertyDescriptor(each, name);
    if (found) return found;
  }
  return null;
}
