// Keys: j and k go through the list, a, r and c to what one does most; ? says so. Never while something is typed,
// and they can be switched off (WCAG 2.1.4).
"use strict";
(() => {
  const kept = "countersign.keys";
  const dialog = document.getElementById("keys");
  if (!dialog) return;
  const on = () => window.localStorage.getItem(kept) !== "off";
  const say = window.countersign.say;

  const go = (step) => {
    const links = [...document.querySelectorAll("#list .tasks a")];
    if (!links.length) return;
    const at = links.findIndex((link) => link === document.activeElement);
    const from = at >= 0 ? at : links.findIndex((link) => link.hasAttribute("aria-current"));
    const to = from < 0 ? 0 : Math.min(Math.max(from + step, 0), links.length - 1);
    links[to].focus();
    if (to === from) say(step > 0 ? "This is the last one" : "This is the first one");
    else links[to].click();
  };
  const button = (kind) => () => {
    const found = document.querySelector(`#pane button[name=decision][value=${kind}]`);
    if (!found) return say("There is nothing to decide here");
    found.scrollIntoView({ block: "nearest" });
    found.focus();
    return say(`${found.textContent.trim()}: press Enter to do it`);
  };
  const focus = (selector) => () => {
    const found = document.querySelector(selector);
    found?.scrollIntoView({ block: "nearest" });
    found?.focus();
  };
  const deeds = {
    j: () => go(1),
    k: () => go(-1),
    a: button("approve"),
    r: button("reject"),
    c: focus("#decide textarea, #pane textarea"),
    "/": focus("#q"),
    "?": () => dialog.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
    if (document.querySelector("dialog[open]") || !on()) return;
    const deed = Object.hasOwn(deeds, event.key) && deeds[event.key];
    if (!deed) return;
    event.preventDefault();
    deed();
  });

  const opener = document.getElementById("keys-open");
  opener.hidden = false;
  opener.addEventListener("click", () => dialog.showModal());
  const box = document.getElementById("keys-on");
  box.checked = on();
  box.addEventListener("change", () => {
    window.localStorage.setItem(kept, box.checked ? "on" : "off");
    say(box.checked ? "Keys are on" : "Keys are off");
  });
})();
