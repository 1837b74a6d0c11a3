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

// Banners of what may be undone count down, and then say what became of it: it may not have counted, or have been undone
// in another window. The server is asked for half a minute; whoever is told nothing by then can look again.
(() => {
  const begun = new WeakMap();
  const wait = { after: 700, longest: 5000, most: 30000, shown: 4000 };
  const kept = 3600000; // the server tells of what was sent for a day: after a long sleep its silence says nothing

  // The banner as it is now: null if there is none any more, undefined if that cannot be told.
  const ask = async (id) => {
    const answer = await fetch(`/delayed/${id}`, { signal: AbortSignal.timeout(wait.longest) });
    if (answer.status === 404) return null;
    if (!answer.ok || answer.redirected) return undefined;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return page.querySelector(".banner") ?? undefined;
  };
  const tell = (banner, text, ...more) => {
    banner.querySelector(".left").replaceChildren(text, ...more);
    banner.classList.remove("waiting");
    window.countersign.say(text);
  };
  const lookAgain = () => {
    const link = document.createElement("a");
    link.href = window.location.href;
    link.textContent = "Look again";
    return link;
  };
  const settle = async (banner, until) => {
    const found = await ask(banner.dataset.delayed).catch(() => undefined);
    if (!banner.isConnected || !banner.classList.contains("waiting")) return;
    if (found === null && Date.now() - begun.get(banner) < kept) {
      tell(banner, "Not sent: undone in another window");
    } else if (found?.classList.contains("refused")) {
      banner.replaceWith(document.importNode(found, true));
    } else if (found && !found.classList.contains("waiting")) {
      tell(banner, found.querySelector(".left").textContent);
      if (found.classList.contains("sent")) setTimeout(() => banner.remove(), wait.shown);
    } else if (found !== null && performance.now() < until) {
      setTimeout(() => settle(banner, until), wait.after);
    } else {
      tell(banner, "Not known yet whether it was sent. ", lookAgain());
    }
  };
  const tick = () => {
    for (const banner of document.querySelectorAll(".banner[data-left]")) {
      if (!begun.has(banner)) begun.set(banner, Date.now());
      const left = Math.ceil(Number(banner.dataset.left) - (Date.now() - begun.get(banner)) / 1000);
      const said = left > 0 ? `Sending in ${left} s` : "Sending now";
      const place = banner.querySelector(".left");
      if (place.textContent !== said) place.textContent = said;
      if (left <= 0) {
        banner.querySelector("form")?.remove();
        banner.removeAttribute("data-left");
        setTimeout(() => settle(banner, performance.now() + wait.most), wait.after);
      }
    }
  };
  tick();
  setInterval(tick, 500);
})();
