/** Help pages of the pack's nodes, which the host shows beside the graph: marks the page while it can only be one of ours. */

import { onGone } from "../opened.js";
import { chain } from "../panel.js";

const chosen = new Set();

/** What to do with a new node of the page. */
export const showHelp = (node) => {
  if (!node.comfyClass?.startsWith("Bottega")) return;
  chain(node, "onSelected", () => mark(() => chosen.add(node)));
  const leave = () => mark(() => chosen.delete(node));
  chain(node, "onDeselected", leave);
  onGone(node, leave);
};

function mark(change) {
  change();
  document.body.classList.toggle("bottega-help", chosen.size > 0);
}
