// Makes the pages live. Every control works without this file: it is a link or a form first.
"use strict";
(() => {
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  document.documentElement.classList.add("js");

  // What was just done is said once: a reload says nothing.
  const here = new URL(location.href);
  if (here.searchParams.has("done")) {
    here.searchParams.delete("done");
    history.replaceState(null, "", here);
  }

  const ago = (date) => {
    const seconds = Math.round((Date.now() - date) / 1000);
    if (seconds < 0 || seconds > 86400) return null;
    if (seconds < 60) return "just now";
    return seconds < 3600 ? `${Math.floor(seconds / 60)} min ago` : `${Math.floor(seconds / 3600)} h ago`;
  };
  const localTimes = () => {
    for (const time of $$("time")) {
      const date = new Date(time.dateTime);
      const full = date.toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
      const text = ago(date) ?? full;
      if (time.textContent !== text) time.textContent = text;
      if (!time.title) time.title = full;
    }
  };

  const prepare = (root) => {
    for (const field of $$("[data-here]", root)) field.value = location.pathname + location.search;
    for (const select of $$("[data-submit]", root)) select.onchange = () => select.form.requestSubmit();
    localTimes();
  };

  const read = async (url, options) => {
    const answer = await fetch(url, { credentials: "same-origin", ...options });
    if (new URL(answer.url).pathname === "/login") location.assign(`/login?back=${encodeURIComponent(location.pathname)}`);
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  // Regions that change by themselves. What somebody is typing in, or has opened, is left as it is.
  const typing = (region) => {
    const active = document.activeElement;
    return region.contains(active) && active.matches("input, textarea, select");
  };
  const replace = (region, fresh) => {
    if (region.outerHTML === fresh.outerHTML || typing(region)) return;
    const active = region.contains(document.activeElement) ? document.activeElement : null;
    const open = $$("details[open] > summary", region).map((it) => it.textContent);
    region.replaceWith(fresh);
    for (const summary of $$("details > summary", fresh)) if (open.includes(summary.textContent)) summary.parentElement.open = true;
    if (active) {
      const same = $$("a, button, summary", fresh).find((it) => it.textContent === active.textContent && it.getAttribute("href") === active.getAttribute("href"));
      (same ?? $("#main")).focus({ preventScroll: true });
    }
  };
  const original = new Map($$("[data-live]").map((region) => [region.id, region.outerHTML]));
  let refreshing = false, again = false;
  const refresh = async () => {
    if (refreshing) { again = true; return; }
    refreshing = true;
    try {
      const fresh = await read(location.href);
      const before = $("#pill")?.textContent.trim();
      for (const region of $$("[data-live]")) {
        const other = fresh.getElementById(region.id);
        // Compared with what the server last sent: times and open parts were changed here.
        if (!other || original.get(region.id) === other.outerHTML) continue;
        const text = other.outerHTML;
        replace(region, document.importNode(other, true));
        original.set(region.id, text);
      }
      const after = $("#pill")?.textContent.trim();
      if (after && before !== after) $("#said").textContent = after;
      const form = $("form[data-etag]"), now = $("form[data-etag]", fresh);
      if (form && form.dataset.etag && form.dataset.etag !== now?.dataset.etag) $("#overtaken").hidden = false;
      prepare(document);
    } catch { /* The event stream says when the server is away. */ }
    refreshing = false;
    if (again) { again = false; refresh(); }
  };

  let stream = null, heard = null;
  const connection = (text, lost) => {
    const line = $("#connection");
    if (line.textContent !== text) line.textContent = text;
    line.classList.toggle("lost", lost);
  };
  const listen = () => {
    if (stream || !$("#pill")) return;
    stream = new EventSource("/api/v1/events");
    stream.addEventListener("pass", (event) => {
      const first = heard === null;
      heard = event.lastEventId;
      if (!first) refresh();
    });
    stream.onopen = () => { connection("Live", false); refresh(); };
    stream.onerror = () => {
      connection("Not live: the connection is lost, trying again", true);
      if (stream.readyState === EventSource.CLOSED) { stream = null; setTimeout(listen, 2000); }
    };
  };
  // A browser holds few connections to one server: pages that nobody sees give theirs back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { stream?.close(); stream = null; } else listen();
  });
  // A page that is left for another hears no more of what that brings about.
  document.addEventListener("submit", () => { stream?.close(); stream = null; });
  addEventListener("pagehide", () => { stream?.close(); stream = null; });
  addEventListener("pageshow", listen);

  // Previews open over the page.
  const dialog = $("#dialog");
  document.addEventListener("click", async (event) => {
    const link = event.target.closest?.("a");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.hasAttribute("data-close") && dialog.contains(link)) { event.preventDefault(); dialog.close(); return; }
    if (!link.hasAttribute("data-dialog")) return;
    event.preventDefault();
    try {
      const page = await read(link.href);
      dialog.replaceChildren(...$$("main > *", page).map((it) => document.importNode(it, true)));
      for (const form of $$("form:not([action])", dialog)) form.action = link.href;
      dialog.returnTo = link.getAttribute("href");
      prepare(dialog);
      dialog.showModal();
    } catch { location.assign(link.href); }
  });
  dialog?.addEventListener("close", () => {
    const link = $$("a[data-dialog]").find((it) => it.getAttribute("href") === dialog.returnTo);
    link?.focus();
  });

  // What saving would do, while somebody types.
  const form = $("form[data-check]");
  if (form) {
    let timer = null, asked = 0;
    const check = async () => {
      const number = ++asked;
      const page = await read(form.dataset.check, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (number !== asked) return;
      $("#check").replaceChildren(...[...page.body.childNodes].map((it) => document.importNode(it, true)));
      const named = $$(".finding.error", $("#check")).flatMap((it) =>
        [$("code", it)?.textContent.split(".").pop(), ...[...it.textContent.matchAll(/`(\w+)`/g)].map((match) => match[1])]);
      for (const input of $$("[name]", form)) {
        if (named.includes(input.name)) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
      }
    };
    form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => check().catch(() => {}), 250); });
  }

  // A list shrinks while somebody types.
  const search = $("[data-search]");
  if (search) {
    let timer = null;
    search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const to = new URL(location.pathname, location.href);
        if (search.value) to.searchParams.set("q", search.value);
        history.replaceState(null, "", to);
        refresh();
      }, 180);
    });
  }

  let led = false;
  const places = { d: "/drift", s: "/services", r: "/rules", h: "/history", b: "/backups", a: "/activity", o: "/" };
  document.addEventListener("keydown", (event) => {
    if (event.target.matches?.("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey || dialog?.open) return;
    if (led) { led = false; if (places[event.key]) location.assign(places[event.key]); return; }
    if (event.key === "/") { event.preventDefault(); if (search) search.focus(); else location.assign("/services"); }
    else if (event.key === "g" && $("#pill")) { led = true; setTimeout(() => { led = false; }, 1500); }
  });

  prepare(document);
  setInterval(localTimes, 30000);
  listen();
})();
