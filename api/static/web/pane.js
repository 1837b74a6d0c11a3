// The pane: what a decision needs is asked for before it is sent. The server asks for it all the same.
"use strict";
(() => {
  const ask = (field, why) => {
    field.setCustomValidity(why);
    field.reportValidity();
    field.addEventListener("input", () => field.setCustomValidity(""), { once: true });
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[name=decision]");
    const form = button?.form;
    if (!form) return;
    for (const [needs, name] of [["needsReason", "reason"], ["needsComment", "comment"]]) {
      const field = form.elements[name];
      if (!field) continue;
      field.setCustomValidity("");
      if (needs in button.dataset && !field.value.trim()) {
        event.preventDefault();
        ask(field, `“${button.textContent.trim()}” needs a ${name}.`);
        return;
      }
    }
  });
})();
