// What pages do besides what plain HTML does. Nothing here is needed to decide.
"use strict";
// Said by screen readers, for what changes without the focus going there.
window.countersign = {
  say: (text) => {
    const line = document.getElementById("said");
    if (line) line.textContent = text;
  },
  // Where reading goes on when what had the focus is no more: without it keys and screen readers begin at the top.
  readOn: () => {
    const heading = document.querySelector("#pane h1");
    if (!heading) return;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  },
};
