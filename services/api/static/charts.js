"use strict";
// The scatter of the comparison, and the lines over time: looked at closer by mouse or keys.
const SVG = "http://www.w3.org/2000/svg";
const written = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });

function draw(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

// Of both axes: log10(views a day + 1).
const logged = (views) => Math.log10(views + 1);
const SIZE = 600;
const MARGIN = 48;

class Scatter {
  constructor(box, told, points) {
    this.told = told;
    this.points = points
      .map(([id, title, channel, predicted, actual]) => ({ id, title, channel, predicted, actual, x: logged(predicted), y: logged(actual) }))
      .sort((one, other) => one.x - other.x);
    const ends = this.points.flatMap((point) => [point.x, point.y]);
    const [low, high] = [Math.min(...ends), Math.max(...ends)];
    this.whole = { x: low - 0.1, y: low - 0.1, span: high - low + 0.2 };
    this.view = { ...this.whole };
    this.at = -1;
    this.svg = draw("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, tabindex: 0, role: "application", "aria-label": `Scatter of ${points.length} videos; arrow keys go from one to the next`, "aria-describedby": told.id }, box);
    this.svg.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(event.deltaY < 0 ? 0.8 : 1.25, this.place(event)); }, { passive: false });
    this.svg.addEventListener("keydown", (event) => this.pressed(event));
    this.svg.addEventListener("pointerdown", (event) => { this.from = { event, view: { ...this.view } }; });
    this.svg.addEventListener("pointermove", (event) => this.moved(event));
    for (const kind of ["pointerup", "pointerleave"]) this.svg.addEventListener(kind, () => { this.from = null; });
    const buttons = document.createElement("div");
    buttons.className = "actions";
    for (const [name, act] of [["+", () => this.zoom(0.7)], ["−", () => this.zoom(1 / 0.7)], ["All", () => this.reset()]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "small";
      button.textContent = name;
      button.setAttribute("aria-label", { "+": "Closer", "−": "Further away", All: "All videos" }[name]);
      button.addEventListener("click", act);
      buttons.append(button);
    }
    box.append(buttons);
    this.paint();
  }

  place(event) {
    const box = this.svg.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: 1 - (event.clientY - box.top) / box.height };
  }

  zoom(factor, around = { x: 0.5, y: 0.5 }) {
    const span = Math.min(this.whole.span, Math.max(0.05, this.view.span * factor));
    this.view.x += around.x * (this.view.span - span);
    this.view.y += around.y * (this.view.span - span);
    this.view.span = span;
    this.paint();
  }

  reset() {
    this.view = { ...this.whole };
    this.paint();
  }

  moved(event) {
    if (!this.from || !event.buttons) return;
    const box = this.svg.getBoundingClientRect();
    this.view.x = this.from.view.x - (this.view.span * (event.clientX - this.from.event.clientX)) / box.width;
    this.view.y = this.from.view.y + (this.view.span * (event.clientY - this.from.event.clientY)) / box.height;
    this.paint();
  }

  pressed(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      this.at = Math.min(this.points.length - 1, Math.max(0, this.at + step));
      this.tell(this.points[this.at]);
    } else if (event.key === "+" || event.key === "=") this.zoom(0.7);
    else if (event.key === "-") this.zoom(1 / 0.7);
    else if (event.key === "Escape" || event.key === "0") this.reset();
    else if (event.key === "Enter" && this.points[this.at]) location.assign(`/videos/${this.points[this.at].id}`);
    else return;
    event.preventDefault();
  }

  tell(point) {
    this.at = this.points.indexOf(point);
    const link = document.createElement("a");
    link.href = `/videos/${point.id}`;
    link.textContent = point.title || point.id;
    this.told.replaceChildren(link, ` ${point.channel || ""}: ${written.format(point.actual)} views a day, ${written.format(point.predicted)} predicted`);
    this.svg.querySelector(".here")?.classList.remove("here");
    this.svg.querySelector(`[data-id="${point.id}"]`)?.classList.add("here");
  }

  paint() {
    const { x, y, span } = this.view;
    const inner = SIZE - 2 * MARGIN;
    const across = (value) => MARGIN + (inner * (value - x)) / span;
    const up = (value) => SIZE - MARGIN - (inner * (value - y)) / span;
    this.svg.replaceChildren();
    for (let power = 0; power < 9; power += 1) {
      const value = logged(10 ** power);
      const name = Intl.NumberFormat(undefined, { notation: "compact" }).format(10 ** power);
      if (value > x && value < x + span) {
        draw("line", { class: "grid", x1: across(value), x2: across(value), y1: MARGIN, y2: SIZE - MARGIN }, this.svg);
        draw("text", { x: across(value), y: SIZE - MARGIN + 20, "text-anchor": "middle" }, this.svg).textContent = name;
      }
      if (value > y && value < y + span) {
        draw("line", { class: "grid", y1: up(value), y2: up(value), x1: MARGIN, x2: SIZE - MARGIN }, this.svg);
        draw("text", { x: MARGIN - 6, y: up(value) + 5, "text-anchor": "end" }, this.svg).textContent = name;
      }
    }
    draw("text", { x: SIZE / 2, y: SIZE - 6, "text-anchor": "middle" }, this.svg).textContent = "predicted";
    draw("text", { x: 6, y: MARGIN - 14 }, this.svg).textContent = "actual";
    const clip = draw("svg", { x: MARGIN, y: MARGIN, width: inner, height: inner, viewBox: `${MARGIN} ${MARGIN} ${inner} ${inner}` }, this.svg);
    const [low, high] = [Math.min(x, y), Math.max(x, y) + span];
    draw("line", { class: "mark", x1: across(low), y1: up(low), x2: across(high), y2: up(high) }, clip);
    for (const point of this.points) {
      const dot = draw("circle", { cx: across(point.x), cy: up(point.y), r: 5, "data-id": point.id }, clip);
      draw("title", {}, dot).textContent = point.title || point.id;
      dot.addEventListener("pointerenter", () => this.tell(point));
      dot.addEventListener("click", () => location.assign(`/videos/${point.id}`));
    }
    if (this.points[this.at]) this.svg.querySelector(`[data-id="${this.points[this.at].id}"]`)?.classList.add("here");
  }
}

async function scatter(box) {
  const told = document.getElementById("scatter-told");
  try {
    const answer = await fetch(box.dataset.points);
    const found = await answer.json();
    if (found.points.length) new Scatter(box, told, found.points);
    else told.textContent = "No video is scored yet.";
  } catch {
    told.textContent = "The videos cannot be read now; load the page again.";
  }
}

// A line over time says its value and moment where one points, or by the arrow keys.
function line(figure) {
  const values = JSON.parse(figure.dataset.line);
  const svg = figure.querySelector("svg");
  const told = figure.querySelector(".told");
  const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const [first, last] = [values[0][0], values[values.length - 1][0]];
  const cursor = draw("line", { class: "cursor", visibility: "hidden", y1: 0, y2: svg.dataset.height }, svg);
  let at = values.length - 1;
  function tell(place) {
    at = Math.min(values.length - 1, Math.max(0, place));
    const [when, value] = values[at];
    const x = (svg.dataset.width * (when - first)) / (last - first || 1);
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    told.textContent = `${moments.format(new Date(1000 * when))}: ${written.format(value)}`;
  }
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const when = first + (last - first) * ((event.clientX - box.left) / box.width);
    let nearest = 0;
    for (let i = 1; i < values.length; i += 1) if (Math.abs(values[i][0] - when) < Math.abs(values[nearest][0] - when)) nearest = i;
    tell(nearest);
  });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step) return;
    event.preventDefault();
    tell(Number.isFinite(step) ? at + step : step > 0 ? values.length - 1 : 0);
  });
}

for (const each of document.querySelectorAll("[data-points]")) scatter(each);
for (const each of document.querySelectorAll("[data-line]")) line(each);
