// What happens, at once: the list renews itself in place, and what somebody else has decided cannot be clicked any
// more. Only while the page is looked at; without this, pages say what was so when they were loaded.
"use strict";
(() => {
  const me = document.body.dataset.me;
  if (!me || !window.EventSource || !window.htmx) return;
  const say = window.countersign.say;
  const wait = { least: 100, spread: 300 };
  let source = null;
  let timer = 0;
  let happened = [];

  const pane = (page) => page.querySelector("[data-request]");
  const folds = (part) => [...part.querySelectorAll("details")].map((it) => [it.querySelector("summary")?.textContent, it]);
  const digest = (part) => part?.querySelector("input[name=digest]")?.value;
  const typed = (part) =>
    [...part.querySelectorAll("textarea, input:not([type=hidden]):not([type=checkbox])")].some((each) => each.value) ||
    part.contains(document.activeElement);
  const words = (part) =>
    [...part.querySelectorAll("textarea")].map((each) => each.value.trim()).filter(Boolean).join("\n\n");
  const put = (selector, swap, text) =>
    window.htmx.swap({
      sourceElement: document.body,
      target: document.querySelector(selector),
      swap: `${swap} ignoreTitle:true`,
      select: selector,
      text,
    });

  const notice = (part, text) => {
    if (part.querySelector(".stale")) return;
    const line = document.createElement("p");
    line.className = "notice stale";
    line.setAttribute("role", "status");
    const link = document.createElement("a");
    link.href = window.location.href;
    link.textContent = "Look again";
    line.append(text, " ", link);
    part.prepend(line);
  };

  // What somebody was writing when its form went: to be copied. While it is there nothing replaces it.
  const keep = (part, text) => {
    const block = document.createElement("div");
    block.className = "notice kept";
    const label = document.createElement("label");
    label.htmlFor = "kept";
    label.textContent = "Not sent: what you were writing";
    const field = document.createElement("textarea");
    field.id = "kept";
    field.readOnly = true;
    field.rows = 3;
    field.value = text;
    block.append(label, field);
    const above = part.querySelector(".notice");
    if (above) above.after(block);
    else part.prepend(block);
  };

  const renew = async () => {
    timer = 0;
    const told = happened;
    happened = [];
    const address = window.location.href;
    const answer = await fetch(address, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected || address !== window.location.href) return;
    const text = await answer.text();
    const page = new DOMParser().parseFromString(text, "text/html");
    if (document.querySelector("#list") && page.querySelector("#list")) await put("#list", "outerMorph", text);
    if (document.querySelector(".banners") && page.querySelector(".banners")) {
      const about = document.activeElement?.closest(".banner")?.dataset.delayed;
      const gone = [...document.querySelectorAll(".banner:not(.refused)")].filter(
        (it) => !page.querySelector(`.banner[data-delayed="${it.dataset.delayed}"]`),
      );
      await put(".banners", "outerHTML", text);
      // What is no more to be undone still says what became of it.
      for (const banner of gone) {
        if (banner.classList.contains("waiting")) banner.dataset.left = "0";
        document.querySelector(".banners").append(banner);
      }
      // Whoever was about to undo something still is.
      if (about) document.querySelector(`.banner[data-delayed="${about}"] button`)?.focus();
    }
    const now = pane(document);
    const next = pane(page);
    const about = told.filter((it) => it.request_id === now?.dataset.request);
    if (!now || !next || !about.length || now.dataset.task !== next.dataset.task) return;
    const other = about.findLast(
      (it) => it.type === "decision.recorded" && it.by !== me && it.task_id === now.dataset.task,
    );
    if (now.querySelector("#decide") && !next.querySelector("#decide")) {
      // Decided, or claimed by somebody, or nobody's to decide any more: the new page says which.
      const written = words(now);
      const within = now.contains(document.activeElement);
      const why = next.querySelector(".notice")?.textContent.replace(/\s+/g, " ").trim();
      await put("#pane", "outerHTML", text);
      if (written) keep(pane(document), written);
      if (within) window.countersign.readOn();
      say(other ? `${other.called} decided this just now` : why);
    } else if (digest(now) && digest(now) !== digest(next)) {
      notice(now, "This has changed since you opened it.");
    } else if (!typed(now)) {
      const open = folds(now).map(([name, fold]) => [name, fold.open]);
      await put(document.querySelector("#pane") ? "#pane" : "article.request", "outerHTML", text);
      const kept = new Map(open);
      for (const [name, fold] of folds(pane(document))) if (kept.has(name)) fold.open = kept.get(name);
    } else if (about.some((it) => it.by !== me)) {
      notice(now, "Something new was said or done.");
    }
  };

  const soon = () => {
    // Not all pages at the same instant.
    if (!timer) timer = setTimeout(() => renew().catch(() => {}), wait.least + Math.random() * wait.spread);
  };

  const open = () => {
    if (source) return;
    source = new EventSource("/live");
    source.addEventListener("ready", () => document.body.setAttribute("data-live", "on"));
    source.addEventListener("happened", (event) => {
      happened.push(JSON.parse(event.data));
      soon();
    });
    source.addEventListener("look", soon);
    source.addEventListener("ended", close);
  };
  const close = () => {
    source?.close();
    source = null;
    document.body.removeAttribute("data-live");
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else if (!source) {
      open();
      soon();
    }
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => event.persisted && !document.hidden && (open(), soon()));
  if (!document.hidden) open();
})();
