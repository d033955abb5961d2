/** When a workflow has been opened in the page: by undo, by a change of tabs, from a file or after a reload. */

import { chain } from "./panel.js";

const waiting = new Set();
const leaving = new Map(); // node -> functions
let opening = Promise.resolve();

/** Once no workflow is being opened: until then the tab in view and the nodes on the page are of two workflows. */
export const settled = () => opening;

/** Calls `restore()` on a node of every workflow that is opened, as long as the node is in it. */
export function onOpened(node, restore) {
  waiting.add(restore);
  onGone(node, () => waiting.delete(restore));
}

/** Calls `left()` once a node is in no workflow of the page any more: removed, or in a subgraph of one that was left. */
export function onGone(node, left) {
  if (leaving.has(node)) return void leaving.get(node).push(left);
  leaving.set(node, [left]);
  chain(node, "onRemoved", () => leave(node));
}

function leave(node) {
  const left = leaving.get(node) ?? [];
  leaving.delete(node);
  left.forEach(attempt);
}

/** The host removes the nodes of the workflow that was left, and says nothing to those inside of its subgraphs. */
function sweep({ rootGraph, graph }) {
  const root = rootGraph ?? graph;
  const within = (node) => node.graph === root || root.subgraphs?.get(node.graph.id) === node.graph;
  for (const node of [...leaving.keys()]) if (node.graph && !within(node)) leave(node);
}

/**
 * Listens for workflows, once a page; `after` are called last.
 *
 * The host's own hooks come while the tab that was left still counts as the one in view.
 */
export function followOpening({ app }, ...after) {
  const load = app.loadGraphData;
  app.loadGraphData = async function (...args) {
    const loading = load.apply(this, args);
    opening = Promise.allSettled([opening, loading]);
    const result = await loading;
    sweep(app);
    [...waiting, ...after].forEach(attempt);
    return result;
  };
}

/** What goes wrong in a panel of ours keeps no workflow from being opened. */
async function attempt(act) {
  try {
    await act();
  } catch (error) {
    console.error("bottega:", error);
  }
}
