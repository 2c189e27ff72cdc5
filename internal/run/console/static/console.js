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
