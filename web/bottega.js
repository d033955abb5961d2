/** What the pack adds to the page. */

import { api } from "/scripts/api.js";
import { app } from "/scripts/app.js";
import { blocksWidget, TYPE } from "./block_weights/widget.js";

app.registerExtension({
  name: "bottega.BlockWeights",
  init() {
    const href = new URL("./block_weights/style.css", import.meta.url).href;
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href }));
  },
  getCustomWidgets: () => ({ [TYPE]: blocksWidget({ app, api }) }),
});
