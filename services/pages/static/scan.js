/* A film or volume as `page_scan` gives it, the maps that `page_map` gives of it, and planes through both as pictures.
   Axes are 0 (rows, down), 1 (columns, across) and 2 (slices, from feet to head); distances are in stored pixels. */
"use strict";

const clinimm = { TOP: 65535, FULL: 127, OPAQUE: 230, RAISES: [215, 25, 28], LOWERS: [44, 123, 229] };

/* NIfTI-1 of unsigned 16 bits; raises Error for anything else. `window` is [lowest, highest] of the stored values. */
clinimm.readScan = (buffer) => {
  const head = new DataView(buffer);
  const float = (at) => head.getFloat32(at, true);
  const dim = (n) => (n <= head.getInt16(40, true) ? head.getInt16(40 + 2 * n, true) : 1);
  if (head.getInt32(0, true) !== 348 || head.getInt16(70, true) !== 512) throw new Error("not a scan");
  const size = [dim(2), dim(1), dim(3)];
  const slope = float(112) || 1;
  const inter = float(116);
  const stored = (value) => (value - inter) / slope;
  return {
    size,
    strides: [size[1], 1, size[0] * size[1]],
    mm: head.getUint8(123) & 7 ? [float(84), float(80), float(88)] : null,
    modality: String.fromCharCode(...new Uint8Array(buffer, 148, 16)).replace(/\0.*/s, ""),
    pixels: new Uint16Array(buffer, 352, size[0] * size[1] * size[2]),
    window: [stored(float(128)), stored(float(124))].sort((a, b) => a - b),
    value: (level) => inter + slope * level,
    stored,
  };
};

/* A map with its cells as signed bytes; null where the record has none. */
clinimm.readMap = (told) => {
  if (told.values === null) return null;
  const text = atob(told.values);
  const cells = Int8Array.from(text, (one) => (one.charCodeAt(0) << 24) >> 24);
  return { ...told, cells, strides: [told.shape[1] * (told.shape[2] || 1), told.shape[2] || 1, 1] };
};

/* Where a map is strongest, in stored pixels. */
clinimm.peakOf = (map) => {
  let best = 0;
  map.cells.forEach((value, i) => { if (Math.abs(value) > Math.abs(map.cells[best])) best = i; });
  return map.shape.map((n, axis) => {
    const cell = Math.floor(best / map.strides[axis]) % n;
    return map.start[axis] + ((cell + 0.5) * (map.end[axis] - map.start[axis])) / n;
  });
};

/* The cell of one axis over a stored point, or -1. */
clinimm.cellAt = (map, axis, at) => {
  const cell = Math.floor(((at - map.start[axis]) * map.shape[axis]) / (map.end[axis] - map.start[axis]));
  return cell >= 0 && cell < map.shape[axis] ? cell : -1;
};

/* Gray by stored value, as the 32 bits of a pixel of a canvas. */
clinimm.grays = ([low, high], inverted) => {
  const table = new Uint32Array(clinimm.TOP + 1);
  const width = Math.max(high - low, 1);
  for (let level = 0; level <= clinimm.TOP; level += 1) {
    const share = Math.min(Math.max((level - low) / width, 0), 1);
    table[level] = 0xff000000 + 0x010101 * Math.round(255 * (inverted ? 1 - share : share));
  }
  return table;
};

/* A canvas that nobody sees, of so many pixels; `row(at)` gives the color at a column of a row. Slices have the head on
   top. */
function drawn(canvas, rows, columns, upward, row) {
  Object.assign(canvas, { width: columns, height: rows });
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const colors = new Uint32Array(image.data.buffer);
  for (let y = 0; y < rows; y += 1) row(upward ? rows - 1 - y : y, colors.subarray(y * columns, (y + 1) * columns));
  context.putImageData(image, 0, 0);
  return canvas;
}

/* The plane of `axes` (down, across) of a scan at the pixel `index` of the remaining axis. */
clinimm.drawGray = (canvas, scan, [down, across], index, table) => {
  const { pixels, size, strides } = scan;
  const step = strides[across];
  return drawn(canvas, size[down], size[across], down === 2, (row, colors) => {
    let at = index * strides[3 - down - across] + row * strides[down];
    for (let column = 0; column < colors.length; column += 1, at += step) colors[column] = table[pixels[at]];
  });
};

/* The same plane of a map, red where it raises and blue where it lowers, clear where it does nothing; null beside it. */
clinimm.drawHeat = (canvas, map, [down, across], at) => {
  const rest = 3 - down - across;
  const cell = map.shape.length > 2 ? clinimm.cellAt(map, rest, at) : 0;
  if (cell < 0) return null;
  const first = map.shape.length > 2 ? cell * map.strides[rest] : 0;
  const [raises, lowers] = [clinimm.RAISES, clinimm.LOWERS].map(([red, green, blue]) => red + 256 * green + 65536 * blue);
  return drawn(canvas, map.shape[down], map.shape[across], down === 2, (row, colors) => {
    for (let column = 0; column < colors.length; column += 1) {
      const value = map.cells[first + row * map.strides[down] + column * map.strides[across]];
      const alpha = Math.round((clinimm.OPAQUE * Math.min(Math.abs(value), clinimm.FULL)) / clinimm.FULL);
      colors[column] = (value > 0 ? raises : lowers) + 0x1000000 * alpha;
    }
  });
};
