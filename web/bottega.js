/** What the pack adds to the page. */

import { api } from "/scripts/api.js";
import { app } from "/scripts/app.js";
import { blocksWidget, TYPE } from "./block_weights/widget.js";
import { showCritique } from "./critique/panel.js";
import { styleSheet } from "./panel.js";
import { showReport } from "./report/panel.js";
import { showResult } from "./result.js";
import { followTrainings, showTraining } from "./training/panel.js";

app.registerExtension({
  name: "bottega",
  init() {
    for (const room of ["block_weights", "critique", "report", "training"]) {
      styleSheet(new URL(`./${room}/style.css`, import.meta.url));
    }
    followTrainings({ app, api });
  },
  getCustomWidgets: () => ({ [TYPE]: blocksWidget({ app, api }) }),
  nodeCreated(node) {
    showCritique({ api })(node);
    showTraining({ api })(node);
    showReport(node);
    showResult({ app })(node);
  },
});
