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

// Banners of what may be undone count down, and say when it was sent.
(() => {
  const begun = new WeakMap();
  const tick = () => {
    for (const banner of document.querySelectorAll(".banner[data-left]")) {
      if (!begun.has(banner)) begun.set(banner, performance.now());
      const left = Math.ceil(Number(banner.dataset.left) - (performance.now() - begun.get(banner)) / 1000);
      const said = left > 0 ? `Sending in ${left} s` : "Sent";
      const place = banner.querySelector(".left");
      if (place.textContent !== said) place.textContent = said;
      if (left <= 0) {
        banner.querySelector("form")?.remove();
        banner.removeAttribute("data-left");
        setTimeout(() => banner.remove(), 4000);
      }
    }
  };
  tick();
  setInterval(tick, 500);
})();
