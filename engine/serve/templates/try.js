"use strict";
(() => {
  const find = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const OPTIONS = ["steps", "self-ensemble", "add-noise", "add-rain", "seed", "range", "page"];
  const WAIT = 20;

  let picture = null; // a file that was chosen, dropped or pasted
  let example = null; // or the name of an example
  let running = null; // { key, aborter } of the job that is waited for
  let strength = null; // null: what the model does by itself

  // ---- what to do

  const models = all("#model option");
  const task = () => find("input[name=task]:checked").value;
  const showTask = () => {
    const kept = find("#model").value;
    find("#model").replaceChildren(...models.filter((option) => option.dataset.task === task()));
    if (models.some((option) => option.dataset.task === task() && option.value === kept)) find("#model").value = kept;
    all("[data-for]").forEach((element) => { element.hidden = !element.dataset.for.split(" ").includes(task()); });
    all("#format [data-for]").forEach((element) => { element.disabled = element.hidden; });
    if (find("#format").selectedOptions[0].disabled) find("#format").value = "png";
    showModel();
  };
  const showModel = () => {
    const option = find("#model").selectedOptions[0];
    find("#model-text").textContent = option ? option.dataset.text : "";
    find("#steps").placeholder = option && option.dataset.steps ? `own: ${option.dataset.steps}` : "own";
    showStrength();
  };
  const showStrength = () => {
    const automatic = find("#model").value === "auto" ? "what the noise accounts for" : "all of it";
    const text = strength === null ? automatic : `${Math.round(strength * 100)} %`;
    find("#strength-text").textContent = text;
    find("#strength").setAttribute("aria-valuetext", text);
    find("#strength-reset").hidden = strength === null;
    if (strength === null) find("#strength").value = "1";
  };
  all("input[name=task]").forEach((radio) => radio.addEventListener("change", showTask));
  find("#model").addEventListener("change", showModel);
  find("#strength").addEventListener("input", () => { strength = Number(find("#strength").value); showStrength(); });
  find("#strength-reset").addEventListener("click", () => { strength = null; showStrength(); find("#strength").focus(); });

  // ---- the picture

  let shown = null;
  const showThumbnail = (address) => {
    const image = find("#thumbnail");
    if (shown) URL.revokeObjectURL(shown);
    shown = address.startsWith("blob:") ? address : null;
    image.onload = () => { image.hidden = false; };
    image.onerror = () => { image.hidden = true; }; // a browser cannot show everything that can be read
    image.src = address;
  };
  const chosen = (name) => {
    find("#drop").classList.add("filled");
    find("#chosen").textContent = name;
    find("#run").disabled = running !== null;
    all(".example").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.example === example)));
    showProblem("");
  };
  const take = (file) => {
    const most = Number(document.body.dataset.mostBytes);
    if (file.size > most) {
      showProblem(`the file is larger than ${most} bytes, the most that this server takes`);
      return;
    }
    [picture, example] = [file, null];
    find("#add-noise").value = "";
    find("#add-rain").value = "";
    showThumbnail(URL.createObjectURL(file));
    chosen(file.name || "a pasted picture");
  };
  const takeExample = (button) => {
    [picture, example] = [null, button.dataset.example];
    find(`input[name=task][value=${button.dataset.task}]`).checked = true;
    showTask();
    if (models.some((option) => option.value === button.dataset.model && option.dataset.task === task())) {
      find("#model").value = button.dataset.model;
    }
    find("#add-noise").value = button.dataset.noise ? String(Number(button.dataset.noise)) : "";
    find("#add-rain").value = button.dataset.rain;
    showModel();
    showThumbnail(button.querySelector("img").src);
    chosen(button.dataset.title);
  };
  const takeChosen = () => { if (find("#file").files.length) take(find("#file").files[0]); };
  find("#file").addEventListener("change", takeChosen);
  all(".example").forEach((button) => button.addEventListener("click", () => takeExample(button)));
  document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) take(event.clipboardData.files[0]); });
  // A picture that misses the field must not replace the page.
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over-page"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over-page"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over-page");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });

  // ---- the run

  const showProblem = (text) => {
    find("#error").hidden = !text;
    find("#error").textContent = text;
  };
  const element = (name, text, kind) => {
    const made = document.createElement(name);
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const parameters = () => {
    const values = { task: task(), model: find("#model").value, format: find("#format").value };
    OPTIONS.forEach((name) => {
      const input = find(`#${name}`);
      const field = input.closest("[data-for]");
      if (input.value.trim() && !(field && field.hidden)) values[name] = input.value.trim();
    });
    if (!find(".strength").hidden && strength !== null) values.strength = String(strength);
    if (values.seed && !values["add-noise"] && !values["add-rain"]) delete values.seed;
    if (find("#kernels").value !== "auto") values.kernels = find("#kernels").value;
    return example ? { ...values, example } : { ...values, name: picture.name || "pasted.png" };
  };
  const asked = async (address, options = {}) => {
    let answer;
    try {
      answer = await fetch(address, { cache: "no-store", ...options });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("the server cannot be reached; is it still running?");
    }
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.error || `the server answered with status ${answer.status}`);
    return said;
  };

  let clock = null;
  const showClock = (began, expected) => {
    const seconds = (performance.now() - began) / 1000;
    find("#clock").textContent = `${seconds.toFixed(1)} s${expected ? ` of about ${Math.max(expected, 0.1).toFixed(1)}` : ""}`;
    if (expected) find("#progress").value = Math.min(0.97, seconds / expected);
    else find("#progress").removeAttribute("value");
  };
  const tick = (began, expected) => {
    clearInterval(clock);
    clock = setInterval(() => showClock(began, expected), 100);
    showClock(began, expected);
  };
  const STAGES = { waiting: "Waiting", starting: "Starting", reading: "Reading the picture", running: "The network is at work" };
  const showWork = (job) => {
    const place = job.position === 0 ? "next in line" : `${job.position} before it`;
    const waiting = job.stage === "waiting" ? "Waiting" : job.stage;
    find("#stage").textContent = job.state === "queued" ? `${waiting}, ${place}` : STAGES[job.stage] || job.stage;
    if (job.state === "running") tick(performance.now() - 1000 * job.seconds, job.expected_seconds);
  };
  const showRemarks = (remarks) => {
    const items = remarks.map((text) => {
      const warning = text.startsWith("warning: ");
      return element("li", warning ? `Note: ${text.slice(9)}` : text, warning ? "warning" : "");
    });
    find("#remarks").replaceChildren(...items);
    find("#remarks").hidden = !items.length;
  };
  const showResult = async (job) => {
    const { result } = job;
    const address = (name) => `/api/jobs/${job.id}/${name}`;
    const images = [find("#before"), find("#after")];
    images[0].src = address("before");
    images[1].src = address("after");
    images[0].alt = `${job.name}, before`;
    images[1].alt = `${job.name}, ${result.after}`;
    find("#after-name").textContent = result.after;
    await Promise.allSettled(images.map((image) => image.decode()));
    const { naturalWidth: width, naturalHeight: height } = images[0];
    find("#compare").style.setProperty("--aspect", String(width / Math.max(1, height)));
    const [rows, columns] = result.size;
    find("#scaled").hidden = width >= columns;
    find("#scaled").textContent = `${columns} x ${rows} pixels, shown at ${width} x ${height}; the download is not scaled.`;
    find("#cards").replaceChildren(...result.cards.map((card) => {
      const box = document.createElement("div");
      const body = document.createElement("dd");
      body.append(element("span", card.value, "value"), element("span", card.text, "note"));
      box.append(element("dt", card.label), body);
      return box;
    }));
    find("#fields").replaceChildren(...result.fields.map(([name, value]) => {
      const row = document.createElement("div");
      row.append(element("dt", name), element("dd", value));
      return row;
    }));
    find("#download").href = address("result?download");
    find("#download").textContent = result.after === "segmented" ? "Download the labels" : "Download the result";
    find("#download-overlay").href = address("overlay?download");
    find("#download-overlay").hidden = result.after !== "segmented";
    find("#numbers").href = address("numbers?download");
    find("#result").hidden = false;
  };
  const showReport = (job) => {
    find("#report").hidden = job.report !== "ready";
    find("#report").href = `/api/jobs/${job.id}/report`;
    find("#drawing").hidden = job.report !== "drawing";
  };

  const begin = () => {
    find("#empty").hidden = true;
    find("#result").hidden = true;
    find("#working").hidden = false;
    find("#run").disabled = true;
    find("#cancel").hidden = false;
    find("#stage").textContent = "Sending the picture";
    showProblem("");
    showRemarks([]);
    tick(performance.now(), null);
    if (matchMedia("(max-width:820px)").matches) find("#outcome").scrollIntoView();
  };
  const end = () => {
    running = null;
    clearInterval(clock);
    find("#working").hidden = true;
    find("#cancel").hidden = true;
    find("#drawing").hidden = true;
    find("#run").disabled = false;
  };
  const follow = async (job, signal) => {
    let now = job;
    let there = false;
    for (;;) {
      showRemarks(now.remarks);
      if (now.result && !there) {
        there = true;
        await showResult(now);
        clearInterval(clock);
        find("#working").hidden = true;
        find("#cancel").hidden = true;
      }
      if (now.result) showReport(now);
      else showWork(now);
      if (now.state === "failed" || now.state === "cancelled") throw new Error(now.error);
      if (now.state === "done" && now.report !== "drawing") return;
      now = await asked(`/api/jobs/${now.id}?wait=${WAIT}&version=${now.version}`, { signal });
    }
  };
  const run = async () => {
    const aborter = new AbortController();
    running = { key: null, aborter };
    begin();
    try {
      const options = { method: "POST", signal: aborter.signal, headers: { "Content-Type": "application/octet-stream" } };
      const job = await asked(`/api/jobs?${new URLSearchParams(parameters())}`, { ...options, body: picture });
      running.key = job.id;
      await follow(job, aborter.signal);
    } catch (error) {
      showProblem(error.name === "AbortError" ? "Cancelled." : error.message);
      find("#error").scrollIntoView({ block: "nearest" });
    }
    end();
  };
  const drop = () => {
    if (!running) return;
    // Told at once, even where the page goes away; a job whose key is not known yet ends with its connection.
    if (running.key) fetch(`/api/jobs/${running.key}`, { method: "DELETE", keepalive: true }).catch(() => {});
    running.aborter.abort();
  };
  find("#order").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!running && (picture || example)) run();
  });
  find("#cancel").addEventListener("click", drop);
  addEventListener("pagehide", drop);
  showTask();
  takeChosen(); // who was faster than this script
})();
