// Zoom, move and read out the figures of a report; no library, no request.
// A figure is `figure.plot` with an inline SVG and a JSON block that says where its axes lie (SVG units), their limits
// and scales, and the curves, bars and matrices drawn in them. Text only ever enters the page as textContent.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const NEAR = 28; // SVG units within which the pointer picks a point

  const digits = (value) => {
    if (value === null || !Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(2).replace("-", "−");
    return String(Number(value.toPrecision(4))).replace("-", "−");
  };

  const scale = (limits, log, low, high) => {
    const turn = log ? Math.log10 : (value) => value;
    const first = turn(limits[0]);
    const width = turn(limits[1]) - first;
    return {
      toSvg: (value) => low + ((turn(value) - first) / width) * (high - low),
      toData: (place) => {
        const value = first + ((place - low) / (high - low)) * width;
        return log ? 10 ** value : value;
      },
    };
  };

  const withScales = (axes) => ({
    ...axes,
    across: scale(axes.xlim, axes.xlog, axes.box[0], axes.box[2]),
    up: scale(axes.ylim, axes.ylog, axes.box[3], axes.box[1]),
  });

  const inside = (axes, point) =>
    point.x >= axes.box[0] && point.x <= axes.box[2] && point.y >= axes.box[1] && point.y <= axes.box[3];

  const nearest = (axes, point) => {
    let best = null;
    for (const curve of axes.curves) {
      for (let i = 0; i < curve.x.length; i += 1) {
        if (curve.x[i] === null || curve.y[i] === null) continue;
        const x = axes.across.toSvg(curve.x[i]);
        const y = axes.up.toSvg(curve.y[i]);
        if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
        const distance = curve.along === "y" && axes.named ? Math.abs(y - point.y) : Math.hypot(x - point.x, y - point.y);
        if (best === null || distance < best.distance) best = { curve, i, x, y, distance };
      }
    }
    return best !== null && best.distance <= NEAR ? best : null;
  };

  const cell = (axes, point) => {
    const matrix = axes.matrix;
    const column = Math.round(axes.across.toData(point.x));
    const row = Math.round(axes.up.toData(point.y));
    if (!(row in matrix.values) || !(column in matrix.values[row])) return null;
    return [`${matrix.rows[row]} × ${matrix.columns[column]}`, digits(matrix.values[row][column])];
  };

  const pointLines = (axes, hit) => {
    const curve = hit.curve;
    const error = curve.error ? ` ± ${digits(curve.error[hit.i])}` : "";
    if (curve.names) return [curve.names[hit.i], `${digits(curve.along === "y" ? curve.x[hit.i] : curve.y[hit.i])}${error}`];
    return [
      curve.label,
      `${axes.xlabel || "x"}: ${digits(curve.x[hit.i])}`,
      `${axes.ylabel || "y"}: ${digits((curve.content || curve.y)[hit.i])}${error}`,
    ];
  };

  const freeLines = (axes, point) => [
    `${axes.xlabel || "x"}: ${digits(axes.across.toData(point.x))}`,
    `${axes.ylabel || "y"}: ${digits(axes.up.toData(point.y))}`,
  ];

  class Plot {
    constructor(figure) {
      this.stage = figure.querySelector(".stage");
      this.svg = this.stage.querySelector("svg");
      this.axes = JSON.parse(figure.querySelector("script.readout").textContent).map(withScales);
      this.home = this.svg.getAttribute("viewBox").split(/\s+/).map(Number);
      this.view = [...this.home];
      this.pointers = new Map();
      this.active = false;
      this.marker = document.createElementNS(SVG, "circle");
      this.marker.setAttribute("class", "marker");
      this.svg.append(this.marker);
      this.tip = document.createElement("div");
      this.tip.className = "tip";
      this.tip.hidden = true;
      this.stage.append(this.tip);
      this.reset = document.createElement("button");
      this.reset.type = "button";
      this.reset.className = "reset";
      this.reset.textContent = "reset zoom";
      this.reset.hidden = true;
      this.stage.append(this.reset);
      this.listen();
    }

    listen() {
      const on = (name, action, options) => this.stage.addEventListener(name, action.bind(this), options);
      on("wheel", this.wheel, { passive: false });
      on("pointerdown", this.down);
      on("pointermove", this.move);
      for (const end of ["pointerup", "pointercancel"]) on(end, this.up);
      on("pointerleave", this.leave);
      on("dblclick", this.goHome);
      on("keydown", this.key);
      on("focus", () => { this.active = true; });
      on("blur", () => { this.active = false; });
      this.reset.addEventListener("click", this.goHome.bind(this));
    }

    place(event) {
      const matrix = this.svg.getScreenCTM();
      return matrix === null ? null : new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    }

    show() {
      const [left, top, width, height] = this.home;
      const w = Math.min(width, Math.max(width / 40, this.view[2]));
      const h = (w / width) * height;
      const x = Math.min(left + width - w, Math.max(left, this.view[0]));
      const y = Math.min(top + height - h, Math.max(top, this.view[1]));
      this.view = [x, y, w, h];
      this.svg.setAttribute("viewBox", this.view.map((value) => value.toFixed(3)).join(" "));
      const zoomed = w < width * 0.999;
      this.stage.classList.toggle("zoomed", zoomed);
      this.reset.hidden = !zoomed;
    }

    zoom(factor, centre) {
      const [x, y, w, h] = this.view;
      const width = Math.min(this.home[2], Math.max(this.home[2] / 40, w / factor));
      const change = width / w;
      this.view = [centre.x - (centre.x - x) * change, centre.y - (centre.y - y) * change, width, h * change];
      this.show();
    }

    goHome() {
      this.view = [...this.home];
      this.show();
    }

    // A page is scrolled far more often than a figure is zoomed: the wheel zooms only with Ctrl or after a click.
    wheel(event) {
      if (!this.active && !event.ctrlKey && !event.metaKey) return;
      const centre = this.place(event);
      if (centre === null) return;
      event.preventDefault();
      this.zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) * 0.006), centre);
      this.read(event);
    }

    down(event) {
      if (event.target === this.reset) return;
      this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      this.read(event);
    }

    move(event) {
      const before = this.pointers.get(event.pointerId);
      if (before !== undefined) this.drag(event, before);
      this.read(event);
    }

    drag(event, before) {
      const now = { x: event.clientX, y: event.clientY };
      const pixels = this.svg.getBoundingClientRect().width;
      const unit = this.view[2] / pixels;
      if (this.pointers.size === 2) {
        const other = [...this.pointers.entries()].find(([id]) => id !== event.pointerId)[1];
        const length = (a) => Math.hypot(a.x - other.x, a.y - other.y);
        const middle = this.place({ clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 });
        if (middle !== null && length(before) > 0) this.zoom(length(now) / length(before), middle);
        this.view[0] -= ((now.x - before.x) / 2) * unit;
        this.view[1] -= ((now.y - before.y) / 2) * unit;
        this.show();
      } else if (this.stage.classList.contains("zoomed")) {
        this.view[0] -= (now.x - before.x) * unit;
        this.view[1] -= (now.y - before.y) * unit;
        this.show();
      }
      this.pointers.set(event.pointerId, now);
    }

    up(event) {
      this.pointers.delete(event.pointerId);
    }

    leave(event) {
      this.pointers.delete(event.pointerId);
      if (event.pointerType === "mouse") this.hide();
    }

    key(event) {
      const [x, y, w, h] = this.view;
      const centre = { x: x + w / 2, y: y + h / 2 };
      const steps = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
      if (event.key === "+" || event.key === "=") this.zoom(1.25, centre);
      else if (event.key === "-") this.zoom(0.8, centre);
      else if (event.key === "0" || event.key === "Escape") this.goHome();
      else if (event.key in steps && this.stage.classList.contains("zoomed")) {
        this.view = [x + steps[event.key][0] * w, y + steps[event.key][1] * h, w, h];
        this.show();
      } else return;
      event.preventDefault();
    }

    read(event) {
      const point = this.place(event);
      const axes = point === null ? undefined : this.axes.find((one) => inside(one, point));
      if (axes === undefined) return this.hide();
      if (axes.matrix) {
        const lines = cell(axes, point);
        return lines === null ? this.hide() : this.tell(event, lines, null);
      }
      const hit = nearest(axes, point);
      if (hit !== null) return this.tell(event, pointLines(axes, hit), hit);
      return axes.named ? this.hide() : this.tell(event, freeLines(axes, point), null, false);
    }

    tell(event, lines, hit, titled = true) {
      this.tip.replaceChildren(
        ...lines.map((text, i) => {
          const line = document.createElement(i === 0 && titled ? "b" : "span");
          line.textContent = text;
          return line;
        }),
      );
      this.tip.hidden = false;
      this.marker.style.display = hit === null ? "none" : "inline";
      if (hit !== null) {
        this.marker.setAttribute("cx", hit.x.toFixed(2));
        this.marker.setAttribute("cy", hit.y.toFixed(2));
        this.marker.setAttribute("r", (4 * (this.view[2] / this.home[2])).toFixed(2));
      }
      const frame = this.stage.getBoundingClientRect();
      const x = event.clientX - frame.left;
      const y = event.clientY - frame.top;
      const width = this.tip.offsetWidth;
      const height = this.tip.offsetHeight;
      this.tip.style.left = `${Math.max(0, x + 14 + width > frame.width ? x - 14 - width : x + 14)}px`;
      this.tip.style.top = `${Math.max(0, y - height - 10 < 0 ? y + 14 : y - height - 10)}px`;
    }

    hide() {
      this.tip.hidden = true;
      this.marker.style.display = "none";
    }
  }

  for (const figure of document.querySelectorAll("figure.plot")) new Plot(figure);
  // What is folded away is still a part of the note: print it.
  const folded = [];
  window.addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details:not([open])")) {
      one.open = true;
      folded.push(one);
    }
  });
  window.addEventListener("afterprint", () => {
    while (folded.length > 0) folded.pop().open = false;
  });
  document.documentElement.dataset.ready = "true";
})();
