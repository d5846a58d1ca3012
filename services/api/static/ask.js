"use strict";
// Questions that this browser keeps, and the answer as bars.
const KEPT = "tubegrader.questions";
const drawn = "http://www.w3.org/2000/svg";
const MOST_BARS = 40;

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) || {};
  } catch {
    return {};
  }
}

function keep(questions) {
  localStorage.setItem(KEPT, JSON.stringify(questions));
  list();
}

function list() {
  const questions = kept();
  const box = document.getElementById("kept");
  const items = Object.entries(questions).map(([name, query]) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `?q=${encodeURIComponent(query)}`;
    link.textContent = name;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "small";
    button.textContent = "Forget";
    button.setAttribute("aria-label", `Forget ${name}`);
    button.addEventListener("click", () => {
      delete questions[name];
      keep(questions);
    });
    item.append(link, " ", button);
    return item;
  });
  box.querySelector("ul").replaceChildren(...items);
  box.hidden = !items.length;
}

function element(name, attributes, text) {
  const made = document.createElementNS(drawn, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// The last column of numbers, named by the first column that is none.
function bars(table, box) {
  const rows = [...table.tBodies[0].rows].slice(0, MOST_BARS);
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const numeric = heads.map((_, place) => rows.length > 1 && rows.every((row) => row.cells[place].classList.contains("n") || !row.cells[place].textContent));
  const value = numeric.lastIndexOf(true);
  if (value === -1) return;
  const name = numeric.indexOf(false);
  const values = rows.map((row) => Number(row.cells[value].textContent));
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  if (low === high) return;
  const across = (number) => 300 + (380 * (number - low)) / (high - low);
  const svg = element("svg", { viewBox: `0 0 700 ${rows.length * 22}`, role: "img", "aria-label": `${heads[value]} as bars; the table has the figures` });
  rows.forEach((row, place) => {
    const [from, to] = [across(Math.min(0, values[place])), across(Math.max(0, values[place]))];
    const label = name === -1 ? `${place + 1}` : row.cells[name].textContent;
    svg.append(element("text", { x: 290, y: place * 22 + 15, "text-anchor": "end" }, label.length > 38 ? `${label.slice(0, 37)}…` : label));
    const bar = element("rect", { x: from, y: place * 22 + 3, width: Math.max(1, to - from), height: 16 });
    bar.append(element("title", {}, `${label}: ${values[place].toLocaleString()}`));
    svg.append(bar);
  });
  box.append(svg);
  box.hidden = false;
}

document.getElementById("keep").hidden = false;
document.getElementById("keep").addEventListener("click", () => {
  const query = document.getElementById("q").value.trim();
  if (query) keep({ ...kept(), [query.split("\n")[0].slice(0, 80)]: query });
});
list();
const answer = document.querySelector("#answer table");
if (answer) bars(answer, document.getElementById("bars"));
