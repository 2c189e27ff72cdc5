"use strict";
// Times in the zone of the browser. Without script they are in UTC, and say so.
const clock = new Intl.DateTimeFormat(document.documentElement.lang, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hour12: false });
const local = (root) => {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = clock.format(at);
    time.title = at.toString();
  }
};
local(document);

// A job's page is told how far the job is. When something changes that the page has no place for, it loads again.
const watched = document.querySelector("[data-progress]");
if (watched && window.EventSource) {
  const events = new EventSource(watched.dataset.progress);
  const numbers = new Intl.NumberFormat("en");
  let dead;
  events.onmessage = (event) => {
    const now = JSON.parse(event.data);
    for (const name of ["removed", "dead", "cancelled", "pending", "calls"]) {
      document.querySelector(`[data-live=${name}]`).textContent = numbers.format(now[name]);
    }
    document.querySelector("[data-live=share]").value = now.share;
    const state = document.querySelector("[data-live=state]");
    state.textContent = now.state;
    state.className = "badge " + now.class;
    if (now.finished || now.awaiting !== watched.dataset.awaiting) {
      events.close();
      location.reload();
    }
  };
  addEventListener("pagehide", () => events.close());
}

// Names that were not known when a job's page was made.
const unnamed = document.querySelector("[data-names]");
if (unnamed) {
  fetch(unnamed.dataset.names).then((answer) => answer.ok ? answer.json() : { people: {}, roles: {} }).then((called) => {
    for (const at of document.querySelectorAll("[data-user]")) at.textContent = called.people[at.dataset.user] ?? at.textContent;
    for (const at of document.querySelectorAll("[data-role]")) at.textContent = called.roles[at.dataset.role] ?? at.textContent;
  }).catch(() => {}); // the ids stand there
}

// A list may be dropped anywhere on its form.
const form = document.querySelector("[data-drop]");
if (form) {
  const file = form.querySelector("input[type=file]");
  const over = (event) => { event.preventDefault(); form.classList.add("dropping"); };
  form.addEventListener("dragenter", over);
  form.addEventListener("dragover", over);
  form.addEventListener("dragleave", () => form.classList.remove("dropping"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("dropping");
    if (event.dataTransfer.files.length === 1) {
      file.files = event.dataTransfer.files;
      form.requestSubmit();
    }
  });
}

// The time of a removal is typed by the clock of the browser, and sent so that no zone is guessed.
const once = document.querySelector("[data-once]");
if (once) {
  const zone = once.querySelector("[data-zone]");
  if (zone) zone.textContent = `${zone.dataset.zone}, ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
  once.addEventListener("submit", () => {
    if (once.elements.at) {
      const at = once.elements.at.value;
      once.elements.at_exact.value = at ? new Date(at).toISOString() : "";
    }
    once.querySelector("button").disabled = true; // the id of the removal keeps it from being done twice anyway
  });
  addEventListener("pageshow", () => { once.querySelector("button").disabled = false; });
}

// A list that is looked at in DingTalk says how far that is; at its end the page loads again.
const looked = document.querySelector("[data-looked]");
if (looked) {
  const ask = async () => {
    try {
      const now = await (await fetch(looked.dataset.looked)).json();
      if (now.over) {
        location.reload();
        return;
      }
      looked.querySelector("progress").value = now.share;
      const said = looked.querySelector("[role=status]");
      if (said.textContent !== now.said) said.textContent = now.said;
    } catch {
      // The console may be starting anew: it is asked again.
    }
    setTimeout(ask, 1000);
  };
  ask();
}

// A form that was sent after the session had ended is filled in again when the same person has signed in.
const sent = "unrole.sent";
const me = document.querySelector(".me span")?.textContent;
if (!document.querySelector("form.signin")) {
  const was = JSON.parse(sessionStorage.getItem(sent) || "null");
  sessionStorage.removeItem(sent);
  if (was && was.me === me && was.page === location.pathname && !new URLSearchParams(location.search).has("done")) {
    for (const form of document.querySelectorAll("form[method=post]")) {
      if (form.getAttribute("action") !== was.action) continue;
      for (const [name, value] of was.fields) {
        for (const field of form.querySelectorAll(`[name="${CSS.escape(name)}"]`)) {
          if (field.type === "checkbox" || field.type === "radio") field.checked ||= field.value === value;
          else if (field.type !== "hidden" && field.type !== "file") field.value = value;
        }
      }
      const around = form.closest("details");
      if (around) around.open = true;
    }
  }
  addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || form.getAttribute("action").endsWith("/signout")) return;
    const fields = [...new FormData(form)].filter(([, value]) => typeof value === "string");
    try {
      sessionStorage.setItem(sent, JSON.stringify({ me, page: location.pathname, action: form.getAttribute("action"), fields }));
    } catch {
      // Too long a list: it is not kept.
    }
  });
}
