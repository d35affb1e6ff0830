"use strict";
// Asks for status.json and shows it.  Whatever comes from there gets into the page as
// text, never as HTML.
(() => {
  const byId = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  // How large a plot is, in its own units.
  const WIDTH = 300;
  const HEIGHT = 60;

  function element(name, content, kind) {
    const made = document.createElement(name);
    if (content !== undefined) made.textContent = content;
    if (kind) made.className = kind;
    return made;
  }

  // Figures as people read them.

  function count(value) {
    return value.toLocaleString("en");
  }

  function several(value, name) {
    return `${count(value)} ${name}${value === 1 ? "" : "s"}`;
  }

  function size(value) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (value >= 1024 && unit < units.length - 1) {
      value /= 1024;
      unit += 1;
    }
    const digits = unit && value < 100 ? 1 : 0;
    return `${value.toFixed(digits)} ${units[unit]}`;
  }

  function rate(value) {
    return `${size(value)}/s`;
  }

  function roundTrip(value) {
    if (value === null) return "–";
    const milliseconds = value * 1000;
    return `${milliseconds.toFixed(milliseconds < 10 ? 2 : 0)} ms`;
  }

  function duration(seconds) {
    const parts = [];
    for (const [length, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= length) {
        parts.push(`${Math.floor(seconds / length)} ${name}`);
        seconds %= length;
      }
    }
    return parts.length ? parts.slice(0, 2).join(" ") : `${Math.floor(seconds)} s`;
  }

  // Plots of the last minutes.

  const PLOTS = [
    ["Carriers", rate, [["rateIn", "in"], ["rateOut", "out"]]],
    ["Tunnels", rate, [["rateForward", "forward"], ["rateBack", "back"]]],
    ["Open", count, [["connections", "connections"], ["streams", "streams"]]],
    ["Round trip", roundTrip, [["roundTrip", "longest"]]],
    ["Held for slow readers", size, [["held", "held"]]],
    ["Refused and reset", count, [["errors", "per second"]]],
  ];

  function shape(name, attributes) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function plot([title, format, lines], history, seconds) {
    const figure = element("figure");
    const caption = element("figcaption");
    caption.append(element("b", title));
    const legend = element("span");
    caption.append(legend);
    const drawing = shape("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
    });
    const rows = history.rows;
    const columns = lines.map(([column]) => history.columns.indexOf(column));
    const values = rows.flatMap((row) => columns.map((column) => row[column] ?? 0));
    const most = Math.max(...values, 0);
    const now = rows.length ? rows[rows.length - 1][0] : 0;
    drawing.append(
      shape("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 })
    );
    lines.forEach(([, name], index) => {
      const kind = index ? "two" : "one";
      const points = rows
        .filter((row) => row[columns[index]] !== null)
        .map((row) => {
          const x = WIDTH * (1 - (now - row[0]) / seconds);
          const y = (HEIGHT - 2) * (1 - (most ? row[columns[index]] / most : 0)) + 1;
          return `${x.toFixed(1)},${y.toFixed(1)}`;
        });
      drawing.append(shape("polyline", { class: kind, points: points.join(" ") }));
      const last = rows.length ? rows[rows.length - 1][columns[index]] : null;
      const part = element("span");
      part.append(element("i", name, kind), ` ${last === null ? "–" : format(last)}`);
      legend.append(part, " · ");
    });
    legend.append(element("span", `most ${format(most)}`));
    drawing.setAttribute("aria-label", `${title}: ${legend.textContent}`);
    figure.append(caption, drawing);
    return figure;
  }

  // Tables.

  const yes = (value) => value;
  const TUNNELS = [
    ["Name", (it) => it.name],
    ["From", (it) => it.from],
    ["To", (it) => it.to],
    ["Open", (it) => count(it.live), "number"],
    ["So far", (it) => count(it.total), "number"],
    ["Failed", (it) => count(it.failed), "number", (it) => it.failed > 0],
    ["Forward", (it) => rate(it.rateForward), "number"],
    ["Back", (it) => rate(it.rateBack), "number"],
    ["Sum", (it) => size(it.bytesForward + it.bytesBack), "number"],
  ];
  function state(it) {
    const stopped = [];
    if (!it.reading) stopped.push("reading paused");
    if (!it.writing) stopped.push("writing paused");
    return [it.state, ...stopped].join(", ");
  }
  const CARRIERS = [
    ["#", (it) => it.number, "number"],
    ["Peer", (it) => it.peer],
    ["Wire", (it) => it.wire],
    ["Role", (it) => it.role],
    ["State", state, "", (it) => it.state !== "up" || !it.reading || !it.writing],
    ["Up for", (it) => duration(it.seconds), "number"],
    ["Tunnels", (it) => it.tunnels.join(", ")],
    ["Streams", (it) => count(it.streams), "number"],
    ["In", (it) => rate(it.rateIn), "number"],
    ["Out", (it) => rate(it.rateOut), "number"],
    ["Round trip", (it) => roundTrip(it.roundTrip), "number"],
    ["Held", (it) => size(it.bytesHeld), "number"],
    ["Refused", (it) => count(it.streamsRefused), "number", (it) => it.streamsRefused > 0],
    ["Resets", (it) => count(it.resetsReceived + it.resetsSent), "number"],
  ];

  function table(columns, items) {
    const head = element("thead");
    const titles = element("tr");
    for (const [title, , kind] of columns) titles.append(element("th", title, kind));
    head.append(titles);
    const body = element("tbody");
    for (const item of items) {
      const row = element("tr");
      for (const [, show, kind, warns] of columns) {
        const classes = [kind, warns && warns(item) ? "bad" : ""];
        row.append(element("td", show(item), classes.filter(yes).join(" ")));
      }
      body.append(row);
    }
    if (!items.length) {
      const cell = element("td", "none", "none");
      cell.colSpan = columns.length;
      const row = element("tr");
      row.append(cell);
      body.append(row);
    }
    return [head, body];
  }

  function message(it) {
    const item = element("li");
    const when = new Date(it.time * 1000);
    const time = element("time", when.toLocaleTimeString());
    time.dateTime = when.toISOString();
    const problem = it.level === "warn" || it.level === "error" || it.level === "critical";
    item.append(time, element("span", it.text, problem ? "bad" : ""));
    return item;
  }

  function show(status) {
    const columns = status.history.columns;
    const last = status.history.rows[status.history.rows.length - 1];
    const now = (column) => (last ? last[columns.indexOf(column)] : 0);
    byId("summary").textContent = [
      `${status.version}, up for ${duration(status.uptime)}`,
      several(now("carriers"), "carrier"),
      several(now("streams"), "stream"),
      several(now("connections"), "connection"),
    ].join(" · ");
    const seconds = Math.max(30, Math.min(300, status.uptime));
    byId("plots").replaceChildren(
      ...PLOTS.map((each) => plot(each, status.history, seconds))
    );
    byId("tunnels").replaceChildren(...table(TUNNELS, status.tunnels));
    byId("carriers").replaceChildren(...table(CARRIERS, status.carriers));
    byId("messages").replaceChildren(...status.messages.slice().reverse().map(message));
    document.body.dataset.time = status.time;
  }

  async function update() {
    const trouble = byId("trouble");
    let interval = 2;
    try {
      // The query has the token, if there is one.
      const answer = await fetch(`status.json${location.search}`, { cache: "no-store" });
      if (!answer.ok) throw new Error((await answer.text()).trim());
      const status = await answer.json();
      interval = status.interval;
      show(status);
      trouble.hidden = true;
    } catch (error) {
      trouble.textContent = `No figures: ${error.message}`;
      trouble.hidden = false;
    }
    setTimeout(update, interval * 1000);
  }

  update();
})();
