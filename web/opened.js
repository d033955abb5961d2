/** When a workflow has been opened in the page: by undo, by a change of tabs, from a file or after a reload. */

import { chain } from "./panel.js";

const waiting = new Set();
let opening = Promise.resolve();

/** Once no workflow is being opened: until then the tab in view and the nodes on the page are of two workflows. */
export const settled = () => opening;

/** Calls `restore()` on a node of every workflow that is opened, as long as the node is in it. */
export function onOpened(node, restore) {
  waiting.add(restore);
  chain(node, "onRemoved", () => waiting.delete(restore));
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
    for (const each of [...waiting, ...after]) each();
    return result;
  };
}
