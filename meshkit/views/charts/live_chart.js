// The browser's half of LiveChart: asks for plotly once a page, for the whole figure once a view, then applies changes.

// One copy of plotly a page, whatever the number of charts: the promise of it lives on window.
function loadPlotly(model) {
  window.meshkitPlotly ??= new Promise((resolve, reject) => {
    const receive = async (message, buffers) => {
      if (message.kind !== "plotly") return;
      model.off("msg:custom", receive);
      try {
        const inflated = new Blob([buffers[0]]).stream().pipeThrough(new DecompressionStream("deflate"));
        const source = await new Response(inflated).text();
        const module = { exports: {} };
        new Function("module", "exports", "define", source)(module, module.exports, undefined);
        resolve(module.exports);
      } catch (error) {
        window.meshkitPlotly = undefined;
        reject(error);
      }
    };
    model.on("msg:custom", receive);
    model.send({ kind: "plotly" });
  });
  return window.meshkitPlotly;
}

const ASK_MS = 3000, SILENT_MS = 12000;

// Asks the kernel every few seconds. While it does not answer, the view that holds the chart says so.
function watchKernel(model, el) {
  let askedAt = 0;
  const answered = (message) => {
    if (message.kind === "alive") askedAt = 0;
  };
  const timer = setInterval(() => {
    const now = Date.now();
    el.closest(".mk")?.classList.toggle("mk-silent", askedAt > 0 && now - askedAt > SILENT_MS);
    if (askedAt) return;
    askedAt = now;
    try {
      model.send({ kind: "alive" });
    } catch {
      // The connection is gone, so no answer comes either.
    }
  }, ASK_MS);
  model.on("msg:custom", answered);
  return () => {
    clearInterval(timer);
    model.off("msg:custom", answered);
  };
}

async function render({ model, el }) {
  const box = document.createElement("div");
  box.className = "mk-live-chart";
  el.append(box);
  const plotly = await loadPlotly(model);
  let figure = null;
  let revision = 0;
  let drawing = Promise.resolve();
  let waiting = false;

  // plotly keeps the layout it is given and deletes its height when it resizes: it gets a copy each time.
  async function draw() {
    const fixed = figure.layout.autosize === false;
    const layout = { ...figure.layout, datarevision: ++revision, uirevision: "keep", autosize: !fixed };
    if (!fixed) delete layout.width;
    layout.font = { ...layout.font, family: getComputedStyle(box).fontFamily };
    box.style.height = `${layout.height}px`;
    if (fixed) box.style.width = `${layout.width}px`;
    await plotly.react(box, figure.data, layout, { displayModeBar: false, responsive: !fixed });
    if (revision === 1) box.on("plotly_click", ({ points }) => model.send({ kind: "click", data: points[0].customdata }));
  }
  // Changes that arrive while the browser is busy are drawn together, and its other work goes on in between.
  function drawSoon() {
    if (waiting) return;
    waiting = true;
    drawing = drawing.then(() => new Promise((done) => setTimeout(done))).then(() => {
      waiting = false;
      return draw();
    });
  }
  function change(message) {
    if (message.kind === "figure") figure = { data: message.data, layout: message.layout };
    if (message.kind === "change" && figure) {
      for (const [trace, key, tail] of message.grown) figure.data[trace][key].push(...tail);
      for (const [trace, key, value] of message.set) figure.data[trace][key] = value;
      figure.layout = { ...figure.layout, ...message.layout };
    }
    if (figure) drawSoon();
  }

  model.on("msg:custom", change);
  model.send({ kind: "figure" });
  const unwatch = watchKernel(model, el);
  const resized = new ResizeObserver(() => figure && figure.layout.autosize !== false && box.offsetWidth && plotly.Plots.resize(box));
  resized.observe(el);
  return () => {
    unwatch();
    resized.disconnect();
    model.off("msg:custom", change);
    plotly.purge(box);
  };
}

export default { render };
