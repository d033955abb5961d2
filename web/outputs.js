/** What nodes show of a run: given to a node of the workflow that ran, as it comes and once the page is loaded anew. */

import { settled } from "./opened.js";
import { isMine, othersPrompts, workflowId } from "./prompts.js";

const SHOWN = "/bottega/shown";

const takers = new WeakMap(); // node -> functions

/** Calls `take(output)` with whatever the node shows, in the form of the host's `executed` event. */
export function onOutput(node, take) {
  if (!takers.has(node)) takers.set(node, []);
  takers.get(node).push(take);
}

const give = (node, output) => takers.get(node)?.forEach((take) => take(output));

/** Listens for outputs, once a page. */
export function followOutputs({ app, api }) {
  api.addEventListener("executed", async ({ detail: { prompt_id: prompt, display_node: display, node, output } }) => {
    await settled();
    if (isMine(app, prompt)) give(nodeOf(app, display ?? node), output);
  });
}

/** Gives the nodes of a workflow that was just opened what they showed last, as far as the server remembers. */
export async function recallOutputs({ app, api }) {
  const workflow = workflowId(app);
  if (!workflow) return;
  const query = new URLSearchParams({ workflow_id: workflow });
  for (const prompt of othersPrompts(app)) query.append("other", prompt);
  const answer = await api.fetchApi(`${SHOWN}?${query}`);
  if (!answer.ok || workflow !== workflowId(app)) return;
  for (const [id, { class: kind, prompt_id, output }] of Object.entries(await answer.json())) {
    const node = nodeOf(app, id);
    if (node?.comfyClass !== kind) continue;
    // The host shows a node's pictures when it is told so, and has forgotten them too.
    if (output.images?.length) api.dispatchEvent(new CustomEvent("executed", { detail: { node: id, display_node: id, prompt_id, output } }));
    else give(node, output);
  }
}

/** The node of an execution id; `3:1` is node 1 inside the subgraph node 3. Ids are numbers or names. */
export function nodeOf(app, id) {
  const find = (within, part) => within?.getNodeById(part) ?? within?.getNodeById(Number(part));
  const [first, ...rest] = String(id).split(":");
  return rest.reduce((node, part) => find(node?.subgraph, part), find(app.rootGraph ?? app.graph, first));
}
