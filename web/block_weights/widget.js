/** The editor of block weights as a widget of a node: what it looks like is kept with the node. */

import { asRun, learnt, told } from "../ran.js";
import { refreshEditors, TextWidget } from "../text_widget/widget.js";
import { Editor } from "./editor.js";
import { architectures, knowledge, lora, presets } from "./knowledge.js";

export const TYPE = "BOTTEGA_BLOCKS";
const RAN = "bottega_blocks"; // property of a node: {lora: the file's name or null, blocks} of its last run

export class BlocksWidget extends TextWidget {
  followed = ["lora_name", "vector_mode", "a", "b"];

  make() {
    return new Editor(this.root, this);
  }

  /** Name of the chosen file; null where there is none or a link brings it. */
  get file() {
    const name = this.setting("lora_name");
    return typeof name === "string" ? name || null : null;
  }

  async learn(isLatest) {
    const file = this.file;
    const [found, all, table] = await Promise.all([
      file ? lora(this.api, file) : null, presets(this.api), architectures(this.api)]);
    if (!isLatest()) return; // another file was chosen meanwhile
    const { node } = this.source ?? {};
    const ran = asRun(told(node, RAN));
    const chosen = node?.properties.bottega_architecture;
    this.editor.learn(knowledge({ found, all, table, ran, chosen, file, settings: settingsOf(this) }));
  }

  architectures = async () => Object.keys(await architectures(this.api));

  choose(name) {
    const { node } = this.source ?? this;
    node.properties.bottega_architecture = name;
    this.changed(true);
    refreshEditors(node);
  }

  /** A run does not measure the blocks it mutes; what an earlier run of the same file measured still holds. */
  #remember(lora, blocks) {
    const before = asRun(told(this.node, RAN));
    if (!before || before.lora !== lora || before.blocks.length !== blocks.length) return;
    const known = new Map(before.blocks.map(({ block, energy }) => [block, energy]));
    for (const entry of blocks) {
      if (entry.in_file && entry.energy === undefined) entry.energy = known.get(entry.block);
    }
  }

  /** The file is the one that ran, whichever is chosen by now. */
  executed(output, run) {
    const text = output?.bottega_blocks?.[0];
    if (text === undefined) return;
    const [lora, blocks] = [output.bottega_lora?.[0] ?? null, typeof text === "string" ? JSON.parse(text) : text];
    this.#remember(lora, blocks);
    learnt(this.node, RAN, { lora, blocks }, run);
    refreshEditors(this.node);
  }
}

/** The settings beside a text widget that say how block weights are read. */
export const settingsOf = (widget) => ({
  vectorMode: widget.setting("vector_mode"), a: widget.setting("a"), b: widget.setting("b") });
