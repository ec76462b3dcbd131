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
    throw new Error("s3-jax serve does not answer: is it still running?");
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

// The plane of the texts: see the server's `_draw_map` for what it means.
function drawMap({ texts, direction, shares }, first) {
  const part = (tag, properties, text = "") => {
    const element = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(properties))
      element.setAttribute(key, value);
    element.textContent = text;
    return element;
  };
  const { width, height, edge } = SIDE;
  const all = [...texts.map(({ x, y }) => [x, y]), direction, [0, 0]];
  const range = axis => {
    const values = all.map(place => place[axis]);
    return [Math.min(...values), Math.max(...values)];
  };
  const [[left, right], [low, high]] = [range(0), range(1)];
  const unit = Math.min((width - 2 * edge) / (right - left || 1),
    (height - 2 * edge) / (high - low || 1));
  const at = (x, y) => [
    width / 2 + unit * (x - (left + right) / 2),
    height / 2 - unit * (y - (low + high) / 2),
  ];
  const share = (100 * (shares[0] + shares[1])).toFixed(0);
  const map = part("svg", {
    class: "map", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `The texts of these classes in two dimensions, which show`
      + ` ${share} % of their variance; the line points to the picture.`,
  });
  const label = (text, x, y, name = "") => {
    const short = text.length > 24 ? `${text.slice(0, 23)}…` : text;
    const anchor = x > width / 2 ? "end" : "start";
    const step = anchor === "end" ? -8 : 8;
    map.append(part("text",
      { x: x + step, y: y + 4, "text-anchor": anchor, class: name }, short));
  };
  const [[x1, y1], [x2, y2]] = [at(0, 0), at(...direction)];
  map.append(part("line", { x1, y1, x2, y2 }));
  for (const text of texts) {
    const [cx, cy] = at(text.x, text.y);
    const kinds = [[text.label === first, "first"], [!text.in_core, "out"],
      [text.decides && text.label === first, "decides"]];
    const point = part("circle", { cx, cy, r: 4,
      class: kinds.filter(([is]) => is).map(([, name]) => name).join(" ") });
    point.append(part("title", {}, text.text));
    map.append(point);
    if (text.official || (text.decides && text.label === first))
      label(text.text, cx, cy);
  }
  label("picture", x2, y2, "picture");
  const figure = make("figure");
  figure.append(map, make("figcaption",
    `The texts of these classes, ${share} % of their variance. The further a`
    + " text lies along the line, the nearer it is to the picture. Green: of"
    + " the first class; ringed: the nearest text; dashed: left out."));
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
    `${rows.length} classes, ${found.texts} texts, ${outside} of them left out;`
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
