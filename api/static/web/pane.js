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

// Banners of what may be undone count down, and then say what came of it: it may not have counted.
(() => {
  const begun = new WeakMap();
  const again = { after: 700, most: 40 };

  const ask = async (banner) => {
    const answer = await fetch(window.location.href, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) return undefined;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return page.querySelector(`.banner[data-delayed="${banner.dataset.delayed}"]`);
  };
  const settle = async (banner, left) => {
    const found = await ask(banner).catch(() => undefined);
    if (!banner.isConnected) return;
    if (found === null) {
      banner.querySelector(".left").textContent = "Sent";
      setTimeout(() => banner.remove(), 4000);
    } else if (found?.classList.contains("refused")) {
      banner.replaceWith(document.importNode(found, true));
    } else if (left > 0) {
      setTimeout(() => settle(banner, left - 1), again.after);
    }
  };
  const tick = () => {
    for (const banner of document.querySelectorAll(".banner[data-left]")) {
      if (!begun.has(banner)) begun.set(banner, performance.now());
      const left = Math.ceil(Number(banner.dataset.left) - (performance.now() - begun.get(banner)) / 1000);
      const said = left > 0 ? `Sending in ${left} s` : "Sending now";
      const place = banner.querySelector(".left");
      if (place.textContent !== said) place.textContent = said;
      if (left <= 0) {
        banner.querySelector("form")?.remove();
        banner.removeAttribute("data-left");
        setTimeout(() => settle(banner, again.most), again.after);
      }
    }
  };
  tick();
  setInterval(tick, 500);
})();
