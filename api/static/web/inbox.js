// What pages do besides what plain HTML does. Nothing here is needed to decide.
"use strict";
// Said by screen readers, for what changes without the focus going there.
window.countersign = {
  say: (text) => {
    const line = document.getElementById("said");
    if (line) line.textContent = text;
  },
};
