/** What nodes show of a run: given to a node of the workflow that ran, as it comes and once the page is loaded anew. */

import { fill, fillings } from "./kept.js";
import { settled } from "./opened.js";
import { inView, isKnown, isMine, othersPrompts, workflowId } from "./prompts.js";
import { sameBefore } from "./same_inputs.js";

const SHOWN = "/bottega/shown";

const takers = new WeakMap(); // node -> functions
let missed = []; // prompts that ran when the page asked last: what they had shown by then has passed it by

/**
 * Calls `take(output, {prompt, recalled})` with whatever the node shows, in the form of the host's `executed` event, and the
 * prompt that it is of. recalled: it was shown before the workflow was opened here, and is no reason to change the workflow.
 */
export function onOutput(node, take) {
  if (!takers.has(node)) takers.set(node, []);
  takers.get(node).push(take);
}

function give(app, node, output, prompt, recalled) {
  if (!node || !takers.has(node)) return;
  fill(app, node, prompt);
  for (const take of takers.get(node)) {
    try {
      take(output, { prompt, recalled });
    } catch (error) { // the other panels of the node are still shown
      console.error(`bottega: ${node.title} cannot show its output`, error);
    }
  }
}

/** Listens for outputs, once a page. */
export function followOutputs({ app, api }) {
  api.addEventListener("executed", async ({ detail: { prompt_id: prompt, display_node: display, node, output, recalled } }) => {
    await settled();
    if (isMine(app, prompt)) give(app, nodeOf(app, display ?? node), output, prompt, Boolean(recalled));
  });
  api.addEventListener("status", () => missed.length && recallOutputs({ app, api }));
}

/** Gives the nodes of a workflow that was just opened what they showed last, as far as the server remembers. */
export async function recallOutputs({ app, api }) {
  const [workflow, tab, before] = [workflowId(app), inView(app), fillings(app)];
  const { outputs, prompts, running } = (await ask(app, api, workflow)) ?? {};
  if (!outputs || workflow !== workflowId(app) || tab !== inView(app)) return;
  missed = running;
  let present = null; // worked out where a prompt of somebody else is to be compared with it
  for (const [id, { class: kind, prompt_id: prompt, output }] of Object.entries(outputs)) {
    const node = nodeOf(app, id);
    if (node?.comfyClass !== kind || isNewer(fillings(app)(node), before(node), prompt, running)) continue;
    if (isKnown(prompt) ? !isMine(app, prompt) : !sameBefore(id, prompts[prompt], present ??= await asPrompt(app))) continue;
    // The host shows a node's pictures when it is told so, and has forgotten them too.
    const detail = { node: id, display_node: id, prompt_id: prompt, output, recalled: true };
    if (output.images?.length) api.dispatchEvent(new CustomEvent("executed", { detail }));
    else give(app, node, output, prompt, true);
  }
}

/** Whether a prompt that another page queued from the workflow in view asked of a node what its inputs ask here. */
export async function isOfTheseInputs({ app, api }, prompt, id) {
  const { prompts } = (await ask(app, api, workflowId(app))) ?? {};
  return sameBefore(id, prompts?.[prompt], await asPrompt(app));
}

/** Whether a node shows what is newer than its output of a prompt: it came since the server was asked, or is of a run that goes on. */
const isNewer = (shown, before, prompt, running) => (
  shown !== null && shown !== prompt && (shown !== before || running.includes(shown))
);

/** What the server says of a workflow; null if it does not answer. */
async function ask(app, api, workflow) {
  if (!workflow) return null;
  const query = new URLSearchParams({ workflow_id: workflow });
  for (const prompt of othersPrompts(app)) query.append("other", prompt);
  try {
    const answer = await api.fetchApi(`${SHOWN}?${query}`);
    return answer.ok ? await answer.json() : null;
  } catch {
    return null; // asked again when the connection is back
  }
}

/** The nodes of the workflow in view as the server would get them. */
async function asPrompt(app) {
  try {
    return JSON.parse(JSON.stringify((await app.graphToPrompt()).output));
  } catch {
    return {};
  }
}

/** The node of an execution id; `3:1` is node 1 inside the subgraph node 3. Ids are numbers or names. */
export function nodeOf(app, id) {
  const find = (within, part) => within?.getNodeById(part) ?? within?.getNodeById(Number(part));
  const [first, ...rest] = String(id).split(":");
  return rest.reduce((node, part) => find(node?.subgraph, part), find(app.rootGraph ?? app.graph, first));
}
