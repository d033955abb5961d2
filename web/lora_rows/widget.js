/** Rows of LoRAs as a widget of a node: which rows are open, and as text or not, is kept with the node. */

import { architectures, knowledge, lora, presets } from "../block_weights/knowledge.js";
import { settingsOf } from "../block_weights/widget.js";
import { asRun, learnt, told } from "../ran.js";
import { refreshEditors, TextWidget } from "../text_widget/widget.js";
import { RowsEditor } from "./editor.js";

export const TYPE = "BOTTEGA_LORA_ROWS";
const RAN = "bottega_rows"; // property of a node: the blocks of each file in its last run

export class RowsWidget extends TextWidget {
  followed = ["vector_mode", "a", "b"];

  make() {
    return new RowsEditor(this.root, this);
  }

  async learn(isLatest) {
    const files = await listedLoras(this.api);
    if (!isLatest()) return;
    this.editor.update();
    if (files) this.editor.offer(files);
  }

  /** What the editor of a row's block weights learns of a file: from the file, and from the node's last run. */
  async know(file) {
    const [found, all, table] = await Promise.all([lora(this.api, file), presets(this.api), architectures(this.api)]);
    const { node } = this.source ?? {};
    const runs = told(node, RAN);
    const chosen = node?.properties.bottega_architecture;
    const ran = asRun({ lora: file, blocks: runs?.[file] });
    return { ...knowledge({ found, all, table, ran, chosen, file, settings: settingsOf(this) }), rowLetters: true };
  }

  architectures = async () => Object.keys(await architectures(this.api));

  choose(name) {
    const { node } = this.source ?? this;
    node.properties.bottega_architecture = name;
    this.changed(true);
    refreshEditors(node);
  }

  executed(output, run) {
    const text = output?.bottega_rows?.[0];
    if (text === undefined) return;
    learnt(this.node, RAN, typeof text === "string" ? JSON.parse(text) : text, run);
    refreshEditors(this.node);
  }
}

/** The files of the loras folders, as the host lists them now; null if it does not answer, which says of no file that it is gone. */
async function listedLoras(api) {
  try {
    const answer = await api.fetchApi("/models/loras", { cache: "no-cache" });
    return answer.ok ? (await answer.json()).filter((file) => typeof file === "string") : null;
  } catch {
    return null;
  }
}
