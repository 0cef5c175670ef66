"use strict";
// Renews the changing part in place while somebody looks. Every part of it has an id, so what is open stays open and what has the focus keeps it.
(() => {
  const EVERY = 2000, PATIENCE = 10000;
  const live = document.getElementById("live");
  const state = document.getElementById("live-state");
  let timer = 0, busy = false, last = Date.now();

  function say(text, away) {
    if (state.textContent !== text) state.textContent = text;
    state.classList.toggle("away", away);
  }

  function renew(html) {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    // The parts that changed, by their place; all of them if there are others than before.
    const old = [...live.children], next = [...fresh.content.children];
    const same = old.length === next.length && old.every((part, nth) => part.id === next[nth].id && part.tagName === next[nth].tagName);
    const pairs = same ? old.map((part, nth) => [part, next[nth]]) : [[live, fresh.content]];
    for (const [was, is] of pairs) {
      for (const details of was.querySelectorAll("details[id]")) {
        const again = is.querySelector("#" + CSS.escape(details.id));
        if (again) again.open = details.open;
      }
      if (was !== live && was.isEqualNode(is)) continue;
      const focus = was.contains(document.activeElement) ? document.activeElement : null;
      const link = focus && focus.getAttribute("href"), box = focus && focus.closest("details[id]");
      if (was === live) live.replaceChildren(is); else was.replaceWith(is);
      const inside = was === live ? live : is;
      const again = link ? inside.querySelector(`a[href="${CSS.escape(link)}"]`)
        : box && document.querySelector("#" + CSS.escape(box.id) + " > summary");
      if (again) again.focus({ preventScroll: true });
    }
  }

  async function look() {
    if (busy) return;
    busy = true;
    clearTimeout(timer);
    try {
      const answer = await fetch(live.dataset.from, { cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE) });
      if (answer.ok) {
        renew(await answer.text());
        last = Date.now();
        say("Live", false);
      } else if (answer.status === 429 || answer.status === 503) {
        say("The daemon is busy", true);
      } else {
        say(answer.status === 403 ? "You may look no longer" : answer.status === 404 ? "This is gone" : "The daemon refuses: HTTP " + answer.status, true);
      }
    } catch {
      say("The daemon does not answer since " + new Date(last).toLocaleTimeString(), true);
    }
    busy = false;
    if (!document.hidden) timer = setTimeout(look, EVERY);
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) look();
  });
  say("Live", false);
  if (!document.hidden) timer = setTimeout(look, EVERY);
})();
