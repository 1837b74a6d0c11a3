// The list: a task opens beside it without the whole page being loaded again. Without this, links are links.
"use strict";
(() => {
  const panes = ".panes";
  const wide = () => window.matchMedia("(min-width: 60rem)").matches;

  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx } = event.detail;
    if (ctx.select !== panes) return;
    // Not a page with panes: the task is gone, or the session is over.
    if (!ctx.text.includes('class="panes')) {
      event.preventDefault();
      window.location.assign(ctx.request.action);
      return;
    }
    const list = document.querySelector(".list");
    ctx.kept = { list: list?.scrollTop ?? 0, focus: document.activeElement?.getAttribute("href") };
  });

  document.addEventListener("htmx:after:swap", (event) => {
    const { ctx } = event.detail;
    if (ctx.select !== panes || !ctx.kept) return;
    const list = document.querySelector(".list");
    if (list) list.scrollTop = ctx.kept.list;
    const links = [...document.querySelectorAll("#list .tasks a")];
    const link = links.find((each) => each.getAttribute("href") === ctx.kept.focus);
    if (wide()) link?.focus({ preventScroll: true });
    else {
      document.querySelector("#pane h1")?.scrollIntoView();
      window.countersign.readOn();
    }
    const heading = document.querySelector("#pane h1");
    if (heading) window.countersign.say(`Opened: ${heading.textContent.trim()}`);
  });

  // How many are chosen, on the button that acts on them.
  const choose = () => {
    const button = document.querySelector(".together button");
    if (!button) return;
    const count = document.querySelectorAll(".pick input:checked").length;
    button.textContent = count ? `Approve these ${count} together` : "Approve the selected ones together";
    button.disabled = count === 0;
  };
  document.addEventListener("change", (event) => {
    if (event.target.closest?.(".pick")) choose();
  });
  document.addEventListener("htmx:after:swap", choose);
  choose();
})();
