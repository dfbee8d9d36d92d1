/* The viewer: films and volumes with their maps, by mouse and by keyboard. Without it the report's stills are there. */
"use strict";

const PRESETS = { CT: [["lung", -600, 1500], ["soft tissue", 40, 400], ["bone", 400, 1800]] };
const ALL_PLANES = [[0, 1], [2, 1], [2, 0]];
const NAMES = ["row", "column", "slice"];
const number = (value, digits) => (Math.abs(value) >= 10 ** digits ? String(Math.round(value)) : String(Number(value.toPrecision(digits)))).replace("-", "\u2212");
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

async function fetched(path) {
  for (let tries = 1; ; tries += 1) {
    const answer = await fetch(path);
    if (answer.ok) return answer;
    if (answer.status !== 503 || tries === 8) throw new Error(`the service answered ${answer.status}`);
    await new Promise((done) => setTimeout(done, 1000 * Number(answer.headers.get("Retry-After") || 1)));
  }
}

async function open(place) {
  const whole = document.getElementById("viewer").content.firstElementChild.cloneNode(true);
  const [told, scan] = await Promise.all([
    fetched(place.dataset.map).then((answer) => answer.json()),
    fetched(place.dataset.scan).then((answer) => answer.arrayBuffer()).then(clinimm.readScan),
  ]);
  place.replaceChildren(whole);
  place.removeAttribute("role");
  whole.setAttribute("aria-label", `Viewer of ${place.dataset.name}`);
  new Viewer(whole, scan, told, place.dataset.name);
  place.parentElement.querySelectorAll("details.stills").forEach((stills) => { stills.open = false; });
}

class Viewer {
  constructor(whole, scan, told, name) {
    Object.assign(this, { whole, scan, told, name, zoom: 1, pan: [0, 0], inverted: false, opacity: 0.6, chosen: 0 });
    this.maps = told.maps.map(clinimm.readMap);
    this.factor = told.stored.slice(0, 2).map((n, axis) => Math.round(n / scan.size[axis])).concat(1);
    const mm = scan.mm || [1, 1, 1];
    this.mm = mm.map((one, axis) => one / this.factor[axis] / Math.min(...mm.map((each, i) => each / this.factor[i])));
    this.volume = scan.size[2] > 1;
    this.part("keys").id = `keys-of-${name}`;
    const peak = this.maps[0] ? clinimm.peakOf(this.maps[0]) : [];
    this.at = scan.size.map((n, axis) => clamp(Math.floor((peak[axis] ?? (n * this.factor[axis]) / 2) / this.factor[axis]), 0, n - 1));
    this.window = [...scan.window];
    this.planes = (this.volume ? ALL_PLANES : ALL_PLANES.slice(0, 1)).map((axes, i) => this.plane(axes, i));
    this.controls();
    new ResizeObserver(() => this.fit()).observe(whole);
    this.fit();
  }

  part(name) { return this.whole.querySelector(`[data-part="${name}"]`); }

  plane(axes, number) {
    const canvas = document.createElement("canvas");
    const rest = NAMES[3 - axes[0] - axes[1]];
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", this.volume ? `${this.name}, ${rest} plane` : `${this.name}, film`);
    canvas.setAttribute("aria-describedby", this.part("keys").id);
    const made = { axes, canvas, number, gray: document.createElement("canvas"), heat: document.createElement("canvas") };
    canvas.addEventListener("keydown", (event) => this.key(event, made));
    canvas.addEventListener("wheel", (event) => this.wheel(event, made), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.drag(event, made));
    this.part("planes").append(canvas);
    return made;
  }

  controls() {
    this.part("planes").classList.toggle("three", this.volume);
    this.told.maps.forEach((map, i) => this.part("map").add(new Option(map.target.replaceAll("_", " "), i)));
    this.part("map").add(new Option("none", -1));
    const windows = [["as the file asks"], ["whole range"], ...(PRESETS[this.scan.modality] || [])];
    windows.forEach(([said], i) => this.part("window").add(new Option(said, i)));
    this.part("window").addEventListener("change", (event) => this.preset(Number(event.target.value)));
    this.part("map").addEventListener("change", (event) => { this.chosen = Number(event.target.value); this.paint(); });
    this.part("opacity").addEventListener("input", (event) => { this.opacity = event.target.value / 100; this.paint(); });
    this.part("reset").addEventListener("click", () => this.reset());
  }

  preset(number) {
    const [, center, width] = (PRESETS[this.scan.modality] || [])[number - 2] || [];
    const ends = center === undefined ? null : [center - width / 2, center + width / 2].map(this.scan.stored);
    this.window = number === 0 ? [...this.scan.window] : number === 1 ? [0, clinimm.TOP] : ends || this.window;
    this.paint();
  }

  reset() {
    Object.assign(this, { zoom: 1, pan: [0, 0], inverted: false, opacity: 0.6, window: [...this.scan.window] });
    this.part("opacity").value = 60;
    this.part("window").value = 0;
    this.paint();
  }

  fit() {
    const sharp = window.devicePixelRatio || 1;
    this.planes.forEach(({ axes: [down, across], canvas }) => {
      const extent = (axis) => this.told.stored[axis] * this.mm[axis];
      const width = Math.max(Math.round(canvas.clientWidth * sharp), 64);
      const height = Math.round(clamp((width * extent(down)) / extent(across), 64, 0.75 * window.innerHeight * sharp));
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    });
    this.paint();
  }

  paint() {
    const asked = [...this.window, this.inverted].join();
    if (asked !== this.asked) Object.assign(this, { asked, table: clinimm.grays(this.window, this.inverted) });
    this.planes.forEach((plane) => this.paintPlane(plane));
    this.tell();
  }

  /* Stored pixels lie on the canvas at left + x * scale[0], top + y * scale[1]: told in its data for whoever measures. */
  paintPlane(plane) {
    const { axes: [down, across], canvas } = plane;
    const rest = 3 - down - across;
    const context = canvas.getContext("2d");
    const [rows, columns] = [this.told.stored[down] ?? 1, this.told.stored[across]];
    const unit = this.zoom * Math.min(canvas.width / (columns * this.mm[across]), canvas.height / (rows * this.mm[down]));
    const scale = [unit * this.mm[across], unit * this.mm[down]];
    const left = (canvas.width - columns * scale[0]) / 2 + this.pan[0] * canvas.width;
    const top = (canvas.height - rows * scale[1]) / 2 + this.pan[1] * canvas.height;
    Object.assign(canvas.dataset, { left, top, scaleX: scale[0], scaleY: scale[1] });
    plane.place = { left, top, scale, rows };
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.setTransform(scale[0], 0, 0, scale[1], left, top);
    if (plane.table !== this.table || plane.index !== this.at[rest]) {
      Object.assign(plane, { table: this.table, index: this.at[rest] });
      clinimm.drawGray(plane.gray, this.scan, plane.axes, plane.index, plane.table);
    }
    const [high, wide] = [this.scan.size[down] * this.factor[down], this.scan.size[across] * this.factor[across]];
    context.drawImage(plane.gray, 0, 0, wide, high);
    const map = this.maps[this.chosen];
    if (map) this.paintHeat(context, plane, map, rest, rows);
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (this.volume) this.paintCross(context, plane);
    this.paintLetters(context, plane, map);
  }

  paintHeat(context, { axes, heat }, map, rest, rows) {
    const [down, across] = axes;
    const picture = clinimm.drawHeat(heat, map, axes, (this.at[rest] + 0.5) * this.factor[rest]);
    if (!picture) return;
    const top = down === 2 ? rows - map.end[down] : map.start[down];
    context.globalAlpha = this.opacity;
    context.drawImage(picture, map.start[across], top, map.end[across] - map.start[across], map.end[down] - map.start[down]);
    context.globalAlpha = 1;
  }

  paintCross(context, { axes: [down, across], canvas, place }) {
    const x = place.left + (this.at[across] + 0.5) * this.factor[across] * place.scale[0];
    const along = (this.at[down] + 0.5) * this.factor[down];
    const y = place.top + (down === 2 ? place.rows - along : along) * place.scale[1];
    context.fillStyle = "rgba(255, 213, 74, 0.55)";
    context.fillRect(Math.round(x), 0, 1, canvas.height);
    context.fillRect(0, Math.round(y), canvas.width, 1);
  }

  paintLetters(context, { canvas, number, place }, map) {
    const size = clamp(canvas.width / 28, 12, 34);
    const write = (text, x, y, align = "center") => {
      Object.assign(context, { font: `${size}px sans-serif`, textAlign: align, textBaseline: "middle", lineWidth: size / 7 });
      Object.assign(context, { strokeStyle: "#000", fillStyle: "#ffd54a" });
      context.strokeText(text, x, y);
      context.fillText(text, x, y);
    };
    const [top, right, bottom, left] = (this.told.letters || [])[number] || [];
    if (top) {
      write(top, canvas.width / 2, size);
      write(right, canvas.width - size, canvas.height / 2);
      write(bottom, canvas.width / 2, canvas.height - size);
      write(left, size, canvas.height / 2);
    }
    if (this.scan.mm) {
      const mm = Math.min(...this.scan.mm.map((one, axis) => one / this.factor[axis]));
      const across = (place.scale[0] / this.mm[this.planes[number].axes[1]]) / mm;
      const length = [100, 50, 20, 10, 5, 2, 1].find((one) => one * across < canvas.width / 3) || 1;
      context.fillStyle = "#ffd54a";
      context.fillRect(size, canvas.height - size, length * across, Math.max(2, size / 8));
      write(`${length} mm`, size, canvas.height - 1.9 * size, "left");
    }
    if (map && !map.trusted) write(`NOT RELIABLE: ${map.failed}`, canvas.width / 2, 2.4 * size);
  }

  tell() {
    const [low, high] = this.window.map(this.scan.value);
    const map = this.maps[this.chosen];
    const index = this.at.reduce((sum, at, axis) => sum + at * this.scan.strides[axis], 0);
    const place = this.volume ? `slice ${this.at[2] + 1} of ${this.scan.size[2]}, row ${this.at[0] + 1}, column ${this.at[1] + 1}: ${number(this.scan.value(this.scan.pixels[index]), 4)}; ` : "";
    const layer = map ? `map of ${map.target.replaceAll("_", " ")} at ${Math.round(100 * this.opacity)} %` : "no map";
    const gray = `window ${number(Math.abs(high - low), 4)}, level ${number((low + high) / 2, 4)}${this.inverted ? ", inverted" : ""}`;
    this.part("status").textContent = `${place}${gray}; zoom ${Math.round(100 * this.zoom)} %; ${layer}`;
    this.part("low").textContent = map ? number(-map.limit, 2) : "";
    this.part("high").textContent = map ? `+${number(map.limit, 2)}` : "";
    this.part("problem").textContent = this.told.maps[this.chosen]?.problem || "";
  }

  scroll(plane, by) {
    const rest = 3 - plane.axes[0] - plane.axes[1];
    this.at[rest] = clamp(this.at[rest] + by, 0, this.scan.size[rest] - 1);
  }

  level(center, width) {
    const [low, high] = this.window;
    const half = Math.max(((high - low) / 2) * width, 1);
    const middle = (low + high) / 2 + center * (high - low);
    this.window = [middle - half, middle + half];
  }

  key(event, plane) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.maps.length;
    const acts = {
      PageUp: () => this.scroll(plane, 1), PageDown: () => this.scroll(plane, -1),
      Home: () => this.scroll(plane, -1e9), End: () => this.scroll(plane, 1e9),
      ArrowLeft: () => { this.pan[0] += 0.05; }, ArrowRight: () => { this.pan[0] -= 0.05; },
      ArrowUp: () => { this.pan[1] += 0.05; }, ArrowDown: () => { this.pan[1] -= 0.05; },
      "+": () => this.magnify(1.25), "=": () => this.magnify(1.25), "-": () => this.magnify(0.8),
      w: () => this.level(0.05, 1), s: () => this.level(-0.05, 1), a: () => this.level(0, 0.9), d: () => this.level(0, 1.1),
      q: () => this.fade(-0.1), e: () => this.fade(0.1), i: () => { this.inverted = !this.inverted; },
      m: () => { this.chosen = this.chosen >= last - 1 ? -1 : this.chosen + 1; this.part("map").value = this.chosen; },
      0: () => this.reset(),
    };
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
    this.paint();
  }

  fade(by) {
    this.opacity = clamp(this.opacity + by, 0, 1);
    this.part("opacity").value = Math.round(100 * this.opacity);
  }

  magnify(by) {
    this.zoom = clamp(this.zoom * by, 1, 32);
    if (this.zoom === 1) this.pan = [0, 0];
  }

  wheel(event, plane) {
    if (document.activeElement !== plane.canvas) return;
    event.preventDefault();
    if (this.volume && !event.ctrlKey) this.scroll(plane, -Math.sign(event.deltaY));
    else this.magnify(event.deltaY < 0 ? 1.25 : 0.8);
    this.paint();
  }

  /* Drags the window: across for its width, up for its level; with Shift, or another button, the picture. A click in a
     volume leads all planes there. */
  drag(event, plane) {
    plane.canvas.focus();
    plane.canvas.setPointerCapture(event.pointerId);
    let moved = 0;
    const move = (step) => {
      moved += Math.abs(step.movementX) + Math.abs(step.movementY);
      if (event.shiftKey || event.button) {
        this.pan[0] += step.movementX / plane.canvas.clientWidth;
        this.pan[1] += step.movementY / plane.canvas.clientHeight;
      } else this.level(-step.movementY / 400, Math.exp(step.movementX / 300));
      this.paint();
    };
    plane.canvas.addEventListener("pointermove", move);
    plane.canvas.addEventListener("pointerup", (up) => {
      plane.canvas.removeEventListener("pointermove", move);
      if (moved < 4 && this.volume && !event.button) this.goTo(up, plane);
    }, { once: true });
  }

  goTo({ offsetX, offsetY }, { axes: [down, across], canvas, place }) {
    const sharp = canvas.width / canvas.clientWidth;
    const along = (offsetY * sharp - place.top) / place.scale[1];
    const to = { [across]: (offsetX * sharp - place.left) / place.scale[0], [down]: down === 2 ? place.rows - along : along };
    for (const axis of [down, across]) {
      this.at[axis] = clamp(Math.floor(to[axis] / this.factor[axis]), 0, this.scan.size[axis] - 1);
    }
    this.paint();
  }
}

function begin(place) {
  place.hidden = false;
  place.textContent = "The viewer is being opened.";
  open(place).catch((error) => {
    place.textContent = `The viewer cannot be opened: ${error.message}. The stills below are those of the record.`;
  });
}

/* A volume is large, and that it was looked at is recorded: it is fetched once its section comes near. */
const near = new IntersectionObserver((seen) => {
  seen.filter((one) => one.isIntersecting).forEach(({ target }) => {
    near.unobserve(target);
    target.querySelectorAll("[data-scan]").forEach(begin);
  });
}, { rootMargin: "400px" });
new Set([...document.querySelectorAll("[data-scan]")].map((place) => place.parentElement)).forEach((section) => near.observe(section));
