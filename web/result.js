/** What a node shows when its run is over. */

import { onOutput } from "./outputs.js";

/**
 * Lets the live preview of a node go once its pictures are there: the host would show it instead of them, or both.
 *
 * The page offers extensions no such thing, so this asks the host's own store of previews, and leaves all as it is where
 * there is none.
 */
export const showResult = ({ app }) => (node) => {
  if (!node.comfyClass?.startsWith("Bottega")) return;
  onOutput(node, (output) => {
    if (!output?.images?.length) return;
    store(app)?.revokePreviewsByLocatorId?.(locator(app, node));
    store(app)?.refreshNodeOutputs?.(node); // Nodes 2.0 look again only when the outputs are other ones
  });
};

const store = (app) => app.extensionManager?._p?._s?.get("nodeOutput");

/** How the host names a node of any graph of the workflow. */
function locator(app, node) {
  const within = node.graph === (app.rootGraph ?? app.graph) ? "" : `${node.graph.id}:`;
  return `${within}${node.id}`;
}
