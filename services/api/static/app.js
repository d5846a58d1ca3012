"use strict";
// Numbers and moments as the reader writes them; without this they are English and in UTC.
function localise(root) {
  const numbers = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
  const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const each of root.querySelectorAll("data[value]")) {
    const { digits, sign, style } = each.dataset;
    const shown = digits === undefined ? numbers : new Intl.NumberFormat(undefined, { style, signDisplay: sign, minimumFractionDigits: digits, maximumFractionDigits: digits });
    each.textContent = shown.format(Number(each.value));
  }
  for (const each of root.querySelectorAll("time[datetime]")) {
    each.title = each.textContent;
    each.textContent = moments.format(new Date(each.dateTime));
  }
}

// A job's page follows it; what it gave is read anew once it has ended.
function follow(box) {
  const source = new EventSource(box.dataset.follow);
  const find = (id) => document.getElementById(id);
  source.onmessage = (event) => {
    const job = JSON.parse(event.data);
    const state = find("job-state").firstElementChild;
    state.textContent = job.state;
    state.className = `state ${job.state}`;
    find("job-message").textContent = job.error_message || job.progress_message || "";
    if (job.progress_total) {
      find("job-progress").max = job.progress_total;
      find("job-progress").value = job.progress_done;
      find("job-count").textContent = `${job.progress_done.toLocaleString()} of ${job.progress_total.toLocaleString()}`;
    }
  };
  source.onerror = () => {
    // Closed for good where the answer was no stream: the database was away for a moment.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(box), 5000);
  };
  source.addEventListener("end", () => { source.close(); location.reload(); });
}

// Grading takes a while; say so, and take pictures that are dropped anywhere on its page.
function grading(form) {
  form.addEventListener("submit", () => {
    document.getElementById("grading").textContent = "Grading…";
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) document.getElementById("pictures").files = event.dataTransfer.files;
  });
}

// Nobody means to send a form twice.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const each of document.forms) delete each.dataset.sent;
  const told = document.getElementById("grading");
  if (told) told.textContent = "";
});

localise(document);
const form = document.getElementById("grade");
if (form) grading(form);
const job = document.getElementById("job");
if (job && job.dataset.follow) follow(job);
