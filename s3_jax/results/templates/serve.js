// Classes are edited and pictures dropped here; the server of the same computer
// embeds and ranks. Whatever is shown is set as text, never as markup.
"use strict";

const find = id => document.getElementById(id);
const setting = name => document.querySelector(`meta[name=${name}]`).content;
const SVG = "http://www.w3.org/2000/svg";
const WAIT = 250; // milliseconds without a key, after which it is asked
const SIDE = { width: 360, height: 240, edge: 26 };

const pictures = []; // { file, card, name }, in the order they were dropped
let asking = false; // one question at a time
let changed = false; // since it was asked
let timer;

function make(tag, text = "", properties = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  return Object.assign(element, properties);
}

function complain(text) {
  find("problem").textContent = text;
  find("problem").hidden = !text;
}

async function ask(path, body, type = "application/json") {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": type, "X-S3-Token": setting("token") },
      body: type === "application/json" ? JSON.stringify(body) : body,
    });
  } catch {
    throw new Error(
      "no answer: is s3-jax serve still running, and the file still there?");
  }
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.problem);
  return value;
}

// The table of classes.

function addRow({ name, names }) {
  const row = make("tr");
  const edit = (value, label, hint) => {
    const input = make("input", "", { value, placeholder: hint });
    input.setAttribute("aria-label", label);
    input.spellcheck = false;
    input.addEventListener("input", askSoon);
    return input;
  };
  const [first, second, third] = [make("td"), make("td"), make("td")];
  first.append(edit(name, "Class", "class"));
  second.append(edit(names, "Its names", "its own name"), make("small"));
  const remove = make("button", "×", { type: "button", title: "Remove" });
  remove.setAttribute("aria-label", "Remove this class");
  remove.addEventListener("click", () => {
    row.remove();
    askSoon();
  });
  third.append(remove);
  row.append(first, second, third);
  find("rows").append(row);
  return row;
}

function setRows({ classes, taken }) {
  find("rows").replaceChildren();
  classes.forEach(addRow);
  find("taken").textContent = taken;
  find("taken").hidden = !taken;
  askSoon();
}

// Rows in which something stands; an empty one is about to be written.
function filledRows() {
  return [...find("rows").rows]
    .map(row => [row, ...[...row.querySelectorAll("input")].map(i => i.value)])
    .filter(([, name, names]) => name.trim() || names.trim())
    .map(([row, name, names]) => ({ row, name, names }));
}

function showLeftOut(rows, leftOut) {
  for (const row of find("rows").rows)
    row.querySelector("small").replaceChildren();
  rows.forEach(({ row }, index) => {
    const said = row.querySelector("small");
    leftOut[index].forEach((text, place) => {
      said.append(place ? ", " : "left out: ", make("s", text));
    });
  });
}

// Pictures.

function addPicture(file) {
  const card = make("article");
  const head = make("header");
  const remove = make("button", "×", { type: "button", title: "Remove" });
  remove.setAttribute("aria-label", `Remove ${file.name}`);
  head.append(make("h3", file.name), remove);
  const thumb = make("div", "", { className: "thumb" });
  const image = make("img", "", { alt: file.name });
  image.src = URL.createObjectURL(file);
  const forget = () => URL.revokeObjectURL(image.src);
  image.addEventListener("load", forget);
  image.addEventListener("error", () => {
    forget();
    thumb.textContent = "the browser cannot show it";
  });
  thumb.append(image);
  const result = make("div", "", { className: "result" });
  card.append(thumb, head, result);
  find("pictures").prepend(card);
  const picture = { file, card, result, name: null, bad: false };
  remove.addEventListener("click", () => {
    card.remove();
    pictures.splice(pictures.indexOf(picture), 1);
    askSoon(); // there may have been too many
  });
  pictures.push(picture);
  return picture;
}

async function upload(picture) {
  try {
    const most = Number(setting("max-bytes"));
    if (picture.file.size > most)
      throw new Error(
        `the file must have at most ${most} bytes, got ${picture.file.size}.`);
    const found = await ask(
      "/pictures", picture.file, "application/octet-stream");
    picture.name = found.picture;
  } catch (error) {
    picture.bad = true;
    picture.card.classList.add("bad");
    picture.result.replaceChildren(make("p", error.message));
  }
}

async function addFiles(files) {
  for (const picture of [...files].map(addPicture)) await upload(picture);
  askSoon();
}

function showAnswer(picture, answer) {
  const [best] = answer.ranking;
  const list = make("ol", "", { className: "bars" });
  for (const { name, probability, score, text } of answer.ranking) {
    const line = make("li", "", { title: `nearest: ${text}` });
    const bar = make("i");
    bar.style.width = `${100 * probability}%`;
    line.append(bar, make("bdi", name),
      make("span", `${(100 * probability).toFixed(1)} %`),
      make("span", score.toFixed(3)));
    list.append(line);
  }
  const why = make("p", "nearest: “", { className: "note" });
  why.append(make("bdi", best.text), `” ${best.cosine.toFixed(3)}`);
  picture.result.replaceChildren(why, list, drawMap(answer.map, best.label));
}

// Across lies the cosine with the picture, up what else tells texts apart.
function drawMap(texts, first) {
  const part = (tag, properties, text = "") => {
    const element = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(properties))
      element.setAttribute(key, value);
    element.textContent = text;
    return element;
  };
  const { width, height, edge } = SIDE;
  const scale = (key, size, sign) => {
    const values = texts.map(each => each[key]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const unit = sign * (size - 2 * edge) / (high - low || 1);
    return value => size / 2 + unit * (value - (low + high) / 2);
  };
  const [across, up] = [scale("x", width, 1), scale("y", height, -1)];
  const map = part("svg", {
    class: "map", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": "The texts of these classes; those on the right are the"
      + " nearest to the picture.",
  });
  const points = texts.map(text => {
    const [cx, cy] = [across(text.x), up(text.y)];
    const leads = text.label === first;
    const kinds = [[leads, "first"], [!text.in_core, "out"],
      [leads && text.decides, "decides"]];
    const point = part("circle", { cx, cy, r: 4,
      class: kinds.filter(([is]) => is).map(([, name]) => name).join(" ") });
    point.append(part("title", {}, `${text.text}, ${text.x.toFixed(3)}`));
    map.append(point);
    const rank = leads ? 2 * text.decides + text.official : text.official;
    return { text: text.text, cx, cy, rank };
  });
  // Labels that would lie on each other are left to the pointer.
  const taken = [];
  points.sort((a, b) => b.rank - a.rank);
  for (const { text, cx, cy, rank } of points) {
    if (!rank) break;
    const short = text.length > 24 ? `${text.slice(0, 23)}…` : text;
    const end = cx > width / 2;
    const [near, far] = [cx + (end ? -8 : 8), 6.5 * short.length];
    const box = { left: end ? near - far : near, y: cy + 4 };
    box.right = box.left + far;
    if (taken.some(other => Math.abs(other.y - box.y) < 12
        && other.left < box.right && box.left < other.right)) continue;
    taken.push(box);
    map.append(part("text",
      { x: near, y: box.y, "text-anchor": end ? "end" : "start" }, short));
  }
  const figure = make("figure");
  figure.append(map, make("figcaption",
    "The texts of these classes: the further to the right, the nearer to the"
    + " picture; up and down, how they differ otherwise. Green: of the first"
    + " class; ringed: its nearest text; dashed: left out."));
  return figure;
}

// One question about everything.

function askSoon() {
  changed = true;
  clearTimeout(timer);
  timer = setTimeout(askNow, WAIT);
}

async function askNow() {
  if (asking) return;
  asking = true;
  while (changed) {
    changed = false;
    try {
      await askOnce();
      complain("");
    } catch (error) {
      complain(error.message);
    }
  }
  asking = false;
}

async function askOnce() {
  const rows = filledRows();
  if (!rows.length) {
    find("status").textContent = "Write a class, or paste a list.";
    for (const { result, bad } of pictures) if (!bad) result.replaceChildren();
    find("notes").replaceChildren();
    showLeftOut([], []);
    return;
  }
  const shown = pictures.filter(({ name }) => name);
  const found = await ask("/answers", {
    classes: rows.map(({ name, names }) => ({ name, names })),
    pictures: [...new Set(shown.map(({ name }) => name))],
  });
  const answers = new Map(found.answers.map(each => [each.picture, each]));
  for (const picture of shown) {
    const answer = answers.get(picture.name);
    if (answer.ranking) {
      showAnswer(picture, answer);
    } else { // the server has forgotten it
      picture.name = null;
      await upload(picture);
      changed = true;
    }
  }
  showLeftOut(rows, found.left_out);
  find("notes").replaceChildren(...found.notes.map(text => make("li", text)));
  const outside = found.left_out.flat().length;
  find("status").textContent =
    `${rows.length} ${rows.length === 1 ? "class" : "classes"},`
    + ` ${found.texts} texts, ${outside} of them left out;`
    + ` ${found.embedded} embedded now; ${found.seconds.toFixed(2)} s.`;
}

function start() {
  find("files").addEventListener("change", event => {
    addFiles([...event.target.files]);
    event.target.value = ""; // the same file may come again
  });
  const drop = find("drop");
  for (const kind of ["dragover", "dragleave", "drop"])
    document.addEventListener(kind, event => {
      event.preventDefault(); // else the browser would open the file
      drop.classList.toggle("over", kind === "dragover");
    });
  document.addEventListener("drop", event =>
    addFiles([...event.dataTransfer.files]));
  find("add").addEventListener("click", () =>
    addRow({ name: "", names: "" }).querySelector("input").focus());
  find("clear").addEventListener("click", () =>
    setRows({ classes: [], taken: "" }));
  find("paste").addEventListener("click", async () => {
    try {
      setRows(await ask("/classes", { list: find("list").value }));
    } catch (error) {
      complain(error.message);
    }
  });
  ask("/start", {}).then(setRows, error => complain(error.message));
}

start();
