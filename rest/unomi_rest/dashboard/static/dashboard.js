// Keeps the page fresh while it is seen, says when the connection is lost, asks before a cancellation, draws the chart.
"use strict";

const REFRESH_MILLIS = 2000;
let chart = null;
let lastSeen = new Date();

function live() {
  return document.getElementById("live");
}

function busy() {
  // Somebody is about to do something there: what is under the pointer or the cursor must not move away.
  const main = live();
  const open = main.querySelector(".actions details[open]");
  const selected = window.getSelection();
  return Boolean(open) || (selected && !selected.isCollapsed && main.contains(selected.anchorNode));
}

function refresh() {
  const address = live() && live().dataset.live;
  if (!address || document.hidden || busy()) {
    return;
  }
  const opened = [...live().querySelectorAll("details[id][open]")].map((one) => one.id);
  htmx
    .ajax("GET", address.replace(/([?&])done=[a-z]+&?/, "$1"), { target: "#live", select: "#live", swap: "outerHTML" })
    .then(() => opened.forEach((id) => document.getElementById(id)?.setAttribute("open", "")))
    .catch(() => connection(true));
}

function connection(lost) {
  const line = document.getElementById("link");
  if (!line) {
    return;
  }
  document.body.classList.toggle("stale", lost);
  line.hidden = !lost;
  line.textContent = lost ? `Connection lost; as of ${lastSeen.toLocaleTimeString()}` : "";
  if (!lost) {
    lastSeen = new Date();
  }
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function timeOfDay(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
}

function draw() {
  const source = document.getElementById("activity");
  const place = document.getElementById("chart");
  if (!source || !place) {
    return;
  }
  const points = JSON.parse(source.textContent);
  const data = [points.map((one) => one.start / 1000), points.map((one) => one.runs), points.map((one) => one.failures)];
  if (chart) {
    chart.destroy();
  }
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  chart = new uPlot(
    {
      width: place.clientWidth,
      height: 160,
      legend: { show: false },
      cursor: { show: false },
      scales: { y: { range: (self, least, most) => [0, Math.max(1, most)] } },
      axes: [{ ...axis, values: (self, moments) => moments.map(timeOfDay) }, { ...axis, size: 60 }],
      series: [
        {},
        { label: "Runs", stroke: colour("--link"), width: 1.5, points: { show: false } },
        { label: "Failures", stroke: colour("--bad"), width: 1.5, points: { show: false } },
      ],
    },
    data,
    place,
  );
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
  }
});
document.addEventListener("htmx:sendError", () => connection(true));
document.addEventListener("htmx:timeout", () => connection(true));
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status !== 401) {
    connection(true);
  }
});
document.addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.successful !== false) {
    connection(false);
  }
});
document.addEventListener("htmx:afterSettle", draw);
document.addEventListener("visibilitychange", refresh);
window.addEventListener("resize", draw);
document.addEventListener("DOMContentLoaded", draw);
window.setInterval(refresh, REFRESH_MILLIS);
