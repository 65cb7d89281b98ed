"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const [W, H] = data.size;
const by = (id) => document.getElementById(id);
const draw = by("draw"), stage = by("stage"), paint = by("paint"), ink = paint.getContext("2d", { willReadFrequently: true });
const boxes = data.boxes.map((one) => ({ ...one }));
let shown = 0, chosen = boxes.length ? 0 : -1, tool = "box", held = null, painted = false;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// Whole milliseconds, rounded down: a limit taken from a frame's time must not fall behind that frame.
function clock(seconds) {
  if (seconds === null) return "";
  seconds = Math.floor(seconds * 1000 + 1e-6) / 1000;
  const rest = seconds % 60, minutes = Math.floor(seconds / 60) % 60, hours = Math.floor(seconds / 3600);
  const tail = (rest < 10 ? "0" : "") + String(Number(rest.toFixed(3)));
  return (hours ? `${hours}:${String(minutes).padStart(2, "0")}:` : `${minutes}:`) + tail;
}

function seconds(text) {
  const match = text.trim().match(/^(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)$/);
  return match ? Number(match[1] || 0) * 3600 + Number(match[2] || 0) * 60 + Number(match[3]) : null;
}

// A frame's index from its time: exact at the frames of this page, in between by the rate around them.
function frameAt(time) {
  const known = data.frames;
  let after = known.findIndex((one) => one.time >= time - 1e-6);
  if (after === -1) after = known.length - 1;
  const a = known[Math.max(0, after - 1)], b = known[after];
  if (Math.abs(b.time - time) < 1e-6 || a === b) return Math.round(b.index + (time - b.time) * data.rate);
  return Math.round(a.index + ((time - a.time) / (b.time - a.time)) * (b.index - a.index));
}

function element(name, attributes, parent) {
  const one = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  parent.append(one);
  return one;
}

function holds(box, time) {
  return (box.from === null || time >= box.from - 1e-6) && (box.to === null || time < box.to - 1e-6);
}

function drawBoxes() {
  draw.replaceChildren();
  const time = data.frames[shown].time, grip = 7 * W / Math.max(1, stage.clientWidth);
  for (const doubt of data.doubts) {
    if (!holds(doubt, time)) continue;
    const [x, y, width, height] = doubt.box;
    element("rect", { class: "doubt", x, y, width, height }, draw);
  }
  boxes.forEach((one, number) => {
    const [x, y, width, height] = one.box;
    const names = ["box", number === chosen ? "chosen" : "", holds(one, time) ? "" : "off"].join(" ");
    element("rect", { class: names, x, y, width, height, "data-box": number }, draw);
    if (number !== chosen) return;
    for (const [right, low, cursor] of [[0, 0, "nwse"], [1, 0, "nesw"], [0, 1, "nesw"], [1, 1, "nwse"]]) {
      element("circle", { class: "handle", cx: x + right * width, cy: y + low * height, r: grip,
        "data-box": number, "data-corner": `${right}${low}`, style: `cursor: ${cursor}-resize` }, draw);
    }
  });
}

function field(parent, value, label, change) {
  const input = document.createElement("input");
  input.value = value;
  input.setAttribute("aria-label", label);
  input.addEventListener("change", () => { change(input.value); refresh(); });
  parent.insertCell().append(input);
}

function button(parent, text, label, act) {
  const one = document.createElement("button");
  one.textContent = text;
  one.title = label;
  one.setAttribute("aria-label", label);
  one.addEventListener("click", () => { act(); refresh(); });
  parent.insertCell().append(one);
}

function listBoxes() {
  const body = by("boxes").tBodies[0];
  body.replaceChildren();
  by("boxes").hidden = !boxes.length;
  by("none").hidden = boxes.length > 0;
  boxes.forEach((one, number) => {
    const row = body.insertRow(), name = `box ${number + 1}`;
    row.className = number === chosen ? "chosen" : "";
    row.addEventListener("click", () => { if (chosen !== number) { chosen = number; drawBoxes(); listClass(); } });
    row.insertCell().textContent = number + 1;
    ["x", "y", "width", "height"].forEach((side, at) => field(row, one.box[at], `${name} ${side}`, (text) => {
      const next = one.box.slice();
      next[at] = Number(text);
      if (Number.isFinite(next[at])) one.box = fitted(next);
    }));
    field(row, clock(one.from), `${name} from`, (text) => { one.from = seconds(text); });
    button(row, "here", `${name} from the frame shown`, () => { one.from = shown ? data.frames[shown].time : null; });
    field(row, clock(one.to), `${name} to`, (text) => { one.to = seconds(text); });
    button(row, "here", `${name} up to and with the frame shown`, () => { one.to = data.frames[shown].time + 1 / data.rate; });
    row.insertCell().textContent = one.note || "";
    button(row, "remove", `remove ${name}`, () => { boxes.splice(number, 1); chosen = Math.min(chosen, boxes.length - 1); });
  });
}

function listClass() {
  [...by("boxes").tBodies[0].rows].forEach((row, number) => { row.className = number === chosen ? "chosen" : ""; });
}

function listDoubts() {
  by("doubts-part").hidden = !data.doubts.length;
  const body = by("doubts");
  body.replaceChildren();
  data.doubts.forEach((doubt) => {
    const row = body.insertRow();
    for (const text of [doubt.box.join(","), doubt.note]) row.insertCell().textContent = text;
    button(row, "take", `take ${doubt.box.join(",")}`, () => {
      boxes.push({ box: doubt.box, from: doubt.from, to: doubt.to, note: "" });
      chosen = boxes.length - 1;
    });
  });
}

// Inside the picture, at least one pixel, whole pixels.
function fitted([x, y, width, height]) {
  x = clamp(Math.round(x), 0, W - 1);
  y = clamp(Math.round(y), 0, H - 1);
  return [x, y, clamp(Math.round(width), 1, W - x), clamp(Math.round(height), 1, H - y)];
}

function quoted(text) {
  return /^[A-Za-z0-9_.,:=@%+\/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function command() {
  const start = `waterz-spool run ${data.video}`;
  if (!boxes.length && !painted) return `${start}   # draw a box first`;
  const spans = new Set(boxes.map((one) => `${clock(one.from)} ${clock(one.to)}`));
  if (!painted && spans.size > 1) return `${start} --tracks tracks.json`;
  const place = painted ? ["--mask mask.png"] : boxes.map((one) => `--box ${one.box.join(",")}`);
  if (boxes.length && spans.size === 1) {
    if (boxes[0].from !== null) place.push(`--from ${clock(boxes[0].from)}`);
    if (boxes[0].to !== null) place.push(`--to ${clock(boxes[0].to)}`);
  }
  return `${start} ${place.join(" ")}`;
}

function refresh() {
  drawBoxes();
  listBoxes();
  listDoubts();
  by("command").textContent = command();
  for (const name of ["box", "brush", "erase"]) by(`tool-${name}`).setAttribute("aria-pressed", String(tool === name));
}

function show(number) {
  shown = clamp(number, 0, data.frames.length - 1);
  const frame = data.frames[shown];
  by("picture").src = frame.picture;
  by("picture").alt = `frame ${frame.index}`;
  by("found").hidden = !frame.mask;
  if (frame.mask) by("found").src = frame.mask;
  by("shown").textContent = `frame ${frame.index}, ${clock(frame.time)}`;
  [...by("strip").children].forEach((one, at) => one.setAttribute("aria-pressed", String(at === shown)));
  drawBoxes();
}

function place(event) {
  const area = stage.getBoundingClientRect();
  return [clamp((event.clientX - area.left) * W / area.width, 0, W), clamp((event.clientY - area.top) * H / area.height, 0, H)];
}

function stroke([x, y]) {
  ink.globalCompositeOperation = tool === "erase" ? "destination-out" : "source-over";
  ink.strokeStyle = ink.fillStyle = "rgb(255, 80, 80)";
  ink.lineCap = "round";
  ink.lineWidth = Number(by("size").value) * W / 1000;
  ink.beginPath();
  ink.moveTo(...(held.last || [x, y]));
  ink.lineTo(x + .01, y);
  ink.stroke();
  held.last = [x, y];
}

function inked() {
  const pixels = ink.getImageData(0, 0, W, H).data;
  for (let at = 3; at < pixels.length; at += 4) if (pixels[at]) return true;
  return false;
}

draw.addEventListener("pointerdown", (event) => {
  event.preventDefault();
  stage.focus({ preventScroll: true });
  draw.setPointerCapture(event.pointerId);
  const [x, y] = place(event);
  held = { x, y };
  if (tool !== "box") { stroke([x, y]); refresh(); return; }
  const number = event.target.dataset.box;
  if (number === undefined) { held.corner = [x, y]; held.fresh = true; return; }
  chosen = Number(number);
  const [left, top, width, height] = boxes[chosen].box, corner = event.target.dataset.corner;
  if (corner) held.corner = [left + (corner[0] === "0" ? width : 0), top + (corner[1] === "0" ? height : 0)];
  held.box = [left, top, width, height];
  refresh();
});

draw.addEventListener("pointermove", (event) => {
  if (!held) return;
  const [x, y] = place(event);
  if (tool !== "box") { stroke([x, y]); return; }
  if (held.corner) {
    const [a, b] = held.corner;
    if (held.fresh) {
      if (Math.abs(x - a) < 3 && Math.abs(y - b) < 3) return;
      boxes.push({ box: [0, 0, 1, 1], from: null, to: null, note: "" });
      chosen = boxes.length - 1;
      held.fresh = false;
    }
    const left = Math.floor(Math.min(a, x)), top = Math.floor(Math.min(b, y));
    boxes[chosen].box = fitted([left, top, Math.ceil(Math.max(a, x)) - left, Math.ceil(Math.max(b, y)) - top]);
  } else {
    const [left, top, width, height] = held.box;
    boxes[chosen].box = [clamp(Math.round(left + x - held.x), 0, W - width), clamp(Math.round(top + y - held.y), 0, H - height), width, height];
  }
  refresh();
});

for (const name of ["pointerup", "pointercancel"]) draw.addEventListener(name, () => { held = null; painted = inked(); refresh(); });

const TOOLS = { x: "box", b: "brush", e: "erase" };
stage.addEventListener("keydown", (event) => {
  const step = event.shiftKey ? 10 : 1;
  const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] || [0, 0];
  if ((dx || dy) && chosen >= 0) {
    const [x, y, width, height] = boxes[chosen].box;
    boxes[chosen].box = event.altKey ? fitted([x, y, width + dx, height + dy])
      : [clamp(x + dx, 0, W - width), clamp(y + dy, 0, H - height), width, height];
  } else if ((event.key === "Delete" || event.key === "Backspace") && chosen >= 0) {
    boxes.splice(chosen, 1);
    chosen = Math.min(chosen, boxes.length - 1);
  } else if (event.key === "," || event.key === ".") {
    show(shown + (event.key === "," ? -1 : 1));
  } else if (TOOLS[event.key.toLowerCase()] && !event.ctrlKey && !event.metaKey) {
    tool = TOOLS[event.key.toLowerCase()];
  } else return;
  event.preventDefault();
  refresh();
});

for (const name of ["box", "brush", "erase"]) by(`tool-${name}`).addEventListener("click", () => { tool = name; refresh(); });

by("copy").addEventListener("click", async () => {
  const text = command();
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // pages opened from a file may not be allowed to: select it instead
    const range = document.createRange();
    range.selectNodeContents(by("command"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
  }
  by("said").textContent = "copied";
});

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  by("said").textContent = `${name} saved by the browser: move it to where you run the command`;
}

by("save-tracks").addEventListener("click", () => {
  const tracks = boxes.map((one) => ({
    start: one.from === null ? 0 : clamp(frameAt(one.from), 0, data.count - 1),
    stop: one.to === null ? data.count : clamp(frameAt(one.to), 1, data.count),
    box: one.box, score: null, label: "",
  }));
  const lines = tracks.map((one) => `    ${JSON.stringify(one)}`).join(",\n");
  const head = [["schema", 1], ["video", data.name], ["frames", data.count], ["size", data.size], ["detector", "pick"]];
  const text = `{\n${head.map(([key, value]) => `  "${key}": ${JSON.stringify(value)},`).join("\n")}\n  "tracks": [\n${lines}\n  ]\n}\n`;
  save("tracks.json", new Blob([text], { type: "application/json" }));
});

by("save-mask").addEventListener("click", () => {
  const out = document.createElement("canvas");
  [out.width, out.height] = [W, H];
  const pen = out.getContext("2d");
  const pixels = ink.getImageData(0, 0, W, H);
  for (let at = 0; at < pixels.data.length; at += 4) {
    pixels.data.fill(pixels.data[at + 3] > 127 ? 255 : 0, at, at + 3);
    pixels.data[at + 3] = 255;
  }
  pen.putImageData(pixels, 0, 0);
  pen.fillStyle = "white";
  for (const { box } of boxes) pen.fillRect(...box);
  out.toBlob((blob) => save("mask.png", blob), "image/png");
});

data.frames.forEach((frame, number) => {
  const one = document.createElement("button"), picture = document.createElement("img");
  picture.src = frame.picture;
  picture.alt = "";
  one.append(picture, clock(frame.time));
  one.title = `frame ${frame.index}`;
  one.addEventListener("click", () => show(number));
  by("strip").append(one);
});
addEventListener("resize", drawBoxes);
show(data.first);
refresh();
