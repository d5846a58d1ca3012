"use strict";
// Sound: recorded, sent without leaving the page (so that it can be played afterwards), labelled by keys.
const by = (id) => document.getElementById(id);
let sound = null;

function playPart(player, start, end) {
  player.currentTime = start;
  player.dataset.until = end;
  player.play();
}

function showHeard(markup, file) {
  const fresh = new DOMParser().parseFromString(markup, "text/html").getElementById("heard");
  by("heard").replaceChildren(...fresh.childNodes);
  const player = by("player");
  if (player) {
    if (sound) URL.revokeObjectURL(sound);
    sound = URL.createObjectURL(file);
    player.src = sound;
    player.hidden = false;
    player.addEventListener("timeupdate", () => {
      if (player.dataset.until && player.currentTime >= Number(player.dataset.until)) {
        player.pause();
        delete player.dataset.until;
      }
    });
    for (const each of document.querySelectorAll("#heard [data-start]")) {
      each.removeAttribute("hidden");
      each.addEventListener("click", () => playPart(player, Number(each.dataset.start), each.dataset.end));
    }
  }
  const told = by("told");
  if (told) told.focus();
}

async function send(form) {
  const file = by("sound").files[0];
  by("hearing").textContent = "Listening…";
  try {
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form), headers: { Accept: "text/html" } });
    const markup = await answer.text();
    if (answer.ok) {
      showHeard(markup, file);
      by("hearing").textContent = "";
    } else {
      const page = new DOMParser().parseFromString(markup, "text/html");
      const said = [...page.querySelectorAll("main > p")].slice(0, 2).map((each) => each.textContent);
      by("hearing").textContent = said.join(". ") || `HTTP ${answer.status}`;
    }
  } catch {
    by("hearing").textContent = "The server cannot be reached; is the stack up?";
  }
}

function recording(button) {
  let recorder = null;
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (recorder) {
      recorder.stop();
      return;
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch {
      by("hearing").textContent = "There is no microphone, or the browser may not use it.";
      return;
    }
    const parts = [];
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      for (const track of stream.getTracks()) track.stop();
      const kind = recorder.mimeType.split(";")[0];
      const file = new File(parts, `recording.${kind.split("/")[1] || "webm"}`, { type: kind });
      recorder = null;
      button.textContent = "Record";
      button.setAttribute("aria-pressed", "false");
      const chosen = new DataTransfer();
      chosen.items.add(file);
      by("sound").files = chosen.files;
      by("hear").requestSubmit();
    };
    recorder.start();
    button.textContent = "Stop and tell";
    button.setAttribute("aria-pressed", "true");
    by("hearing").textContent = "Recording…";
  });
}

const hear = by("hear");
if (hear) {
  hear.addEventListener("submit", (event) => {
    event.preventDefault();
    event.stopPropagation();
    send(hear);
  });
  if (window.MediaRecorder && navigator.mediaDevices) recording(by("record"));
}

// Clips to decide: each with its buttons, or by keys.
const list = by("conflicts");
const player = new Audio();
const cards = list ? [...list.querySelectorAll(".conflict")] : [];

async function label(card, button) {
  const form = card.querySelector("form");
  const body = new URLSearchParams({ video: card.dataset.video, language: button.value });
  const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
  // A redirect, which says that it worked, is not followed.
  const worked = answer.type === "opaqueredirect";
  const undone = button.value === "none";
  const said = worked ? (undone ? "undone" : `labelled ${button.textContent}`) : `it did not work (HTTP ${answer.status})`;
  form.querySelector(".said").textContent = said;
  by("labelled").textContent = `${card.querySelector("h2").textContent}: ${said}`;
  if (worked) {
    card.classList.toggle("done", !undone);
    form.querySelector("[value=none]").hidden = undone;
  }
  return worked && !undone;
}

function beside(card, step) {
  const place = cards.indexOf(card);
  const next = cards[place === -1 ? 0 : Math.min(cards.length - 1, Math.max(0, place + step))];
  if (next) {
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

async function pressed(key, card) {
  if (key === "j" || key === "k") return beside(card, key === "j" ? 1 : -1);
  if (!card) return undefined;
  if (key === "p") return card.querySelector("button[data-play]")?.click();
  const value = { 1: "en", 2: "zh", 3: "und", u: "none" }[key];
  if (await label(card, card.querySelector(`[value=${value}]`))) beside(card, 1);
  return undefined;
}

if (list) {
  list.addEventListener("submit", (event) => {
    event.preventDefault();
    event.stopPropagation();
    label(event.target.closest(".conflict"), event.submitter);
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !by("keys").checked) return;
    if (!["j", "k", "p", "1", "2", "3", "u"].includes(event.key)) return;
    event.preventDefault();
    pressed(event.key, document.activeElement.closest(".conflict"));
  });
}
document.addEventListener("click", (event) => {
  const address = event.target.closest("[data-play]")?.dataset.play;
  if (!address) return;
  player.src = address;
  player.play();
});
