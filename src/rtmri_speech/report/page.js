"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const STEP_SECONDS = 0.25;
  const DRIFT_SECONDS = 0.06;
  const NARROW_PHONEME = 22;

  // --- numbers -------------------------------------------------------------------------------------------------
  const shown = (value, measure) => {
    if (value === null || value === undefined) return "–";
    const text = value.toFixed(measure.digits);
    return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
  };
  const signed = (value, measure) => (data.baseline && value > 0 ? "+" : "") + shown(value, measure);
  const ARROWS = { higher: "↑", lower: "↓", zero: "→0←" };
  // Larger is worse; clips without a value are last.
  const badness = (value, measure) => {
    if (value === null || value === undefined) return -Infinity;
    return measure.better === "higher" ? -value : measure.better === "zero" ? Math.abs(value) : value;
  };
  const measureIndex = (name) => data.measures.findIndex((measure) => measure.name === name);
  const scoreOf = (clip, row, index) => (clip.scores[row] || [])[index];
  // A comparison lists and sorts the clips by the change from its baseline.
  const valueOf = (clip, index) => {
    const value = scoreOf(clip, data.configured, index);
    if (!data.baseline) return value;
    const before = scoreOf(clip, data.baseline, index);
    return typeof value === "number" && typeof before === "number" ? value - before : null;
  };
  const badnessOf = (clip, measure, index) => {
    const bad = badness(scoreOf(clip, data.configured, index), measure);
    if (!data.baseline || !Number.isFinite(bad)) return bad;
    const before = badness(scoreOf(clip, data.baseline, index), measure);
    return Number.isFinite(before) ? bad - before : -Infinity;
  };

  // --- the table of scores -------------------------------------------------------------------------------------
  const allMeasures = find("all-measures");
  const drawScores = () => {
    const columns = data.measures.map((measure, index) => ({ measure, index }))
      .filter(({ measure }) => measure.main || allMeasures.checked);
    const head = make("tr", {}, make("th", { scope: "col", textContent: "System" }));
    for (const { measure, index } of columns) {
      const button = make("button", { type: "button", title: measure.meaning },
        `${measure.title} ${ARROWS[measure.better]}`, make("span", { className: "unit", textContent: measure.unit || " " }));
      if (spanless(measure, index)) button.append(make("span", { className: "unit", textContent: "no span" }));
      button.addEventListener("click", () => { find("sort").value = measure.name; sortClips(); });
      const cell = make("th", { scope: "col" }, button);
      cell.dataset.measure = measure.name;
      head.append(cell);
    }
    const body = make("tbody");
    for (const row of data.rows) {
      const head = make("th", { scope: "row", title: row.note });
      if (data.sources.some((one) => one.name === row.name)) {
        const button = make("button", { type: "button", className: "hear" });
        button.addEventListener("click", () => toggle(current, row.name));
        label(button, row.name, "this clip");
        head.append(button, " ");
      }
      head.append(row.title);
      const line = make("tr", {}, head);
      line.dataset.chosen = row.name === data.configured;
      for (const { measure, index } of columns) line.append(scoreCell(row, measure, index));
      body.append(line);
    }
    find("scores").replaceChildren(make("thead", {}, head), body);
    markSorted();
    if (current >= 0) showHeard();
  };
  // Floor and ceiling are known, but the ceiling is not better.
  const spanless = (measure, index) => measure.better !== "zero" && !measure.span && ["floor", "ceiling"].every((name) => {
    const end = data.rows.find((row) => row.name === name);
    return end && typeof (end.summary[index] || [null])[0] === "number";
  });
  const scoreCell = (row, measure, index) => {
    const [mean, low, high, count] = row.summary[index] || [null];
    const cell = make("td", { title: count ? `${count} clips` : "not defined" },
      make("span", { className: "mean", textContent: shown(mean, measure) }));
    cell.append(make("span", {
      className: "interval",
      textContent: low === null || low === undefined ? " " : `${shown(low, measure)} – ${shown(high, measure)}`,
    }));
    if (mean !== null && measure.span) {
      const [floor, ceiling] = measure.span;
      const share = Math.min(Math.max((mean - floor) / (ceiling - floor), 0), 1);
      const fill = make("i");
      fill.style.width = `${100 * share}%`;
      cell.append(make("span", { className: "meter" }, fill));
    }
    return cell;
  };
  const markSorted = () => {
    for (const cell of find("scores").querySelectorAll("thead th[data-measure]")) {
      cell.toggleAttribute("aria-sort", false);
      if (cell.dataset.measure === find("sort").value) {
        cell.setAttribute("aria-sort", find("direction").getAttribute("aria-pressed") === "true" ? "ascending" : "descending");
      }
    }
  };
  allMeasures.addEventListener("change", drawScores);

  // --- the list of clips ---------------------------------------------------------------------------------------
  const list = find("clips");
  let order = [];
  const sortClips = () => {
    const name = find("sort").value;
    const bestFirst = find("direction").getAttribute("aria-pressed") === "true";
    const index = measureIndex(name);
    order = data.clips.map((_, place) => place);
    if (index >= 0) {
      const measure = data.measures[index];
      const bad = order.map((place) => badnessOf(data.clips[place], measure, index));
      order.sort((a, b) => {
        if (!Number.isFinite(bad[a]) || !Number.isFinite(bad[b])) return Number.isFinite(bad[b]) - Number.isFinite(bad[a]) || a - b;
        return (bestFirst ? bad[a] - bad[b] : bad[b] - bad[a]) || a - b;
      });
    } else if (bestFirst) {
      order.reverse();
    }
    const ends = index < 0 ? ["ascending", "descending"] : data.baseline ? ["worsened first", "improved first"] : ["worst first", "best first"];
    find("direction").textContent = ends[bestFirst ? 1 : 0];
    drawList(index);
    orderGrid();
    markSorted();
  };
  const drawList = (index) => {
    const measure = data.measures[index];
    const values = data.clips.map((clip) => valueOf(clip, index));
    const known = values.filter((value) => typeof value === "number").map(Math.abs);
    const most = Math.max(...known, 1e-9);
    const items = order.map((place) => {
      const clip = data.clips[place];
      const button = make("button", { type: "button" }, make("span", { className: "id", textContent: clip.title }));
      button.append(make("span", { className: "value", textContent: measure ? signed(values[place], measure) : `${clip.seconds.toFixed(1)} s` }));
      if (clip.text) button.append(make("span", { className: "words", textContent: clip.text }));
      if (measure && typeof values[place] === "number") {
        const bar = make("span", { className: "bar" });
        bar.style.width = `${(100 * Math.abs(values[place])) / most}%`;
        button.append(bar);
      }
      button.dataset.place = place;
      button.setAttribute("aria-current", place === current);
      return make("li", {}, button);
    });
    list.replaceChildren(...items);
  };

  // --- the grid, clips by sounds; drawn when it is first seen, then only put in order ----------------------------------
  const grid = find("grid");
  const lines = [];
  const gridLine = (clip, place) => {
    const line = make("tr", {}, make("th", { scope: "row", textContent: clip.title, title: clip.text || "" }));
    for (const one of data.sources) {
      const button = make("button", { type: "button", className: "hear" });
      button.dataset.place = place;
      label(button, one.name, clip.title);
      line.append(make("td", {}, button));
    }
    return line;
  };
  const orderGrid = () => { if (lines.length) grid.tBodies[0].append(...order.map((place) => lines[place])); };
  const drawGrid = () => {
    const head = make("tr", {}, make("th", { scope: "col", textContent: "Clip" }),
      ...data.sources.map((one) => make("th", { scope: "col", textContent: one.title, title: one.note })));
    lines.push(...data.clips.map(gridLine));
    grid.replaceChildren(make("thead", {}, head), make("tbody"));
    orderGrid();
    showHeard();
  };
  grid.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) toggle(Number(button.dataset.place), button.dataset.source);
  });
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    drawGrid();
  }).observe(find("grid-section"));
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) choose(Number(button.dataset.place));
  });
  find("sort").append(...data.measures.filter((measure, index) => data.rows[0].summary[index])
    .map((measure) => make("option", { value: measure.name, textContent: measure.unit ? `${measure.title}, ${measure.unit}` : measure.title })),
    make("option", { value: "", textContent: "id" }));
  if (data.baseline) find("sort-label").textContent = "Clips by change in";
  find("sort").addEventListener("change", sortClips);
  find("direction").addEventListener("click", (event) => {
    const button = event.currentTarget;
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
    sortClips();
  });

  // --- the player: the sound is the clock, the pictures follow ---------------------------------------------------------
  const video = find("video");
  const film = find("film");
  let current = -1;
  let source = data.sources[0].name;
  let sounds = {};
  let playing = false;
  let position = 0;

  const clipNow = () => data.clips[current];
  const titleOf = (name) => data.sources.find((one) => one.name === name).title;
  // A button that plays one sound: its face follows what is heard.
  const label = (button, name, clip) => {
    button.dataset.source = name;
    button.textContent = "▶";
    button.setAttribute("aria-label", `Play ${clip}, ${titleOf(name)}`);
    button.title = titleOf(name);
  };
  const showHeard = () => {
    for (const button of document.querySelectorAll("button.hear")) {
      const place = button.dataset.place === undefined ? current : Number(button.dataset.place);
      const heard = playing && place === current && button.dataset.source === source;
      if ((button.dataset.heard === "true") === heard) continue;
      button.dataset.heard = heard;
      button.textContent = heard ? "❚❚" : "▶";
    }
  };
  const toggle = (place, name) => {
    if (playing && place === current && name === source) { pause(); return; }
    if (playing) pause();
    choose(place);
    hear(name);
    seek(0);
    play();
  };
  const path = (name) => `media/${clipNow().id}/${name}`;
  const soundOf = (name) => {
    if (!sounds[name]) {
      const sound = new Audio();
      sound.preload = "none";
      sound.src = path(`${name}.wav`);
      sound.addEventListener("ended", () => { if (name === source && sounds[name] === sound) { position = clipNow().seconds; pause(); } });
      sounds[name] = sound;
    }
    return sounds[name];
  };
  const now = () => {
    const sound = sounds[source];
    return playing && sound && !sound.seeking && sound.readyState > 0 ? sound.currentTime : position;
  };
  const start = (name) => {
    const sound = soundOf(name);
    sound.currentTime = position;
    return sound.play();
  };
  const play = async () => {
    if (position >= clipNow().seconds - 0.02) position = 0;
    playing = true;
    showState();
    place();
    for (const one of data.sources.slice(0, 3)) soundOf(one.name).preload = "auto";
    try {
      await start(source);
    } catch (error) {
      // Ignore the error of pausing before the sound has started.
      if (error.name !== "AbortError") pause();
      return;
    }
    requestAnimationFrame(follow);
  };
  const pause = () => {
    position = Math.min(now(), clipNow().seconds);
    playing = false;
    for (const sound of Object.values(sounds)) sound.pause();
    showState();
    place();
  };
  const hear = (name) => {
    if (name === source) return;
    const was = now();
    const old = sounds[source];
    position = was;
    source = name;
    if (playing) {
      start(name).then(() => { if (old && old !== sounds[source]) old.pause(); }, () => {});
      if (old) old.muted = true;
      soundOf(name).muted = false;
    }
    showSource();
    place();
  };
  const seek = (seconds) => {
    position = Math.min(Math.max(seconds, 0), clipNow().seconds);
    if (playing) soundOf(source).currentTime = position;
    place();
  };
  const follow = () => {
    if (!playing) return;
    position = now();
    place();
    requestAnimationFrame(follow);
  };
  const keepInStep = (screen) => {
    if (!screen.getAttribute("src") || screen.readyState < 1) return;
    // Seek to the middle of the frame, so that rounding does not show the previous one.
    const wanted = Math.min(position, Math.max(screen.duration - 0.5 / data.frame_rate, 0));
    if (playing && screen.paused) screen.play().catch(() => {});
    if (!playing && !screen.paused) screen.pause();
    if (playing ? Math.abs(screen.currentTime - wanted) > DRIFT_SECONDS : true) {
      const frame = (Math.floor(wanted * data.frame_rate + 1e-6) + 0.5) / data.frame_rate;
      if (!screen.seeking && Math.abs(screen.currentTime - (playing ? wanted : frame)) > 1e-3) screen.currentTime = playing ? wanted : frame;
    }
  };
  let cursors = [];
  let spoken = [];
  const place = () => {
    const share = position / clipNow().seconds;
    for (const cursor of cursors) cursor.style.left = `${100 * share}%`;
    if (zoom > 1 && (share < from || share > from + 1 / zoom)) look(zoom, share + (playing ? 0.45 : 0) / zoom);
    find("position").value = Math.round(1000 * share);
    find("position").setAttribute("aria-valuetext", `${position.toFixed(2)} seconds`);
    find("time").textContent = `${position.toFixed(2)} / ${clipNow().seconds.toFixed(2)} s`;
    for (const { element, begin, end } of spoken) element.dataset.spoken = begin <= position && position < end;
    keepInStep(video);
    keepInStep(film);
  };
  const showState = () => {
    find("play").textContent = playing ? "❚❚" : "▶";
    find("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    document.body.dataset.playing = playing;
    showHeard();
  };
  const showSource = () => {
    for (const button of find("sources").children) button.setAttribute("aria-pressed", button.dataset.source === source);
    find("note").textContent = data.sources.find((one) => one.name === source).note;
    drawMels();
    drawDownloads();
    showHeard();
  };

  // --- mel pictures, each with a cursor ------------------------------------------------------------------------
  let drawn = "";
  const drawMels = () => {
    const main = data.sources.slice(0, 3).map((one) => one.name);
    const names = main.includes(source) ? main : [...main, source];
    const wanted = [clipNow().id, ...names].join(" ");
    if (wanted !== drawn) drawPanels(names);
    drawn = wanted;
    for (const panel of find("mels").querySelectorAll(".mel")) panel.dataset.heard = panel.dataset.name === source;
  };
  // What is zoomed: a layer as wide as the whole clip, behind a window.
  const windowed = (...children) => make("div", { className: "window" }, make("div", { className: "layer" }, ...children));
  const drawPanels = (names) => {
    const panels = names.map((name) => {
      const cursor = make("div", { className: "cursor" });
      const title = titleOf(name);
      const pictures = [make("img", { src: path(`${name}.png`), alt: `Mel spectrogram, ${title}`, loading: "lazy", draggable: false })];
      if (data.tracks.includes(name)) pictures.push(make("img", { src: path(`${name}.svg`), className: "tracks", alt: "", draggable: false }));
      const graph = make("div", { className: "graph" }, windowed(...pictures, cursor));
      for (const [label, share] of data.frequency_ticks) {
        const tick = make("span", { className: "tick", textContent: label });
        tick.style.bottom = `${100 * share}%`;
        graph.append(tick);
      }
      graph.addEventListener("pointerdown", (event) => {
        // Read the position first: selecting another sound redraws the pictures.
        const box = graph.querySelector(".layer").getBoundingClientRect();
        hear(name);
        seek(((event.clientX - box.left) / box.width) * clipNow().seconds);
      });
      const panel = make("div", { className: "mel" }, make("div", { className: "label", textContent: title }), graph);
      panel.dataset.name = name;
      return panel;
    });
    const seconds = clipNow().seconds;
    spoken = (clipNow().phonemes || []).map(([phoneme, begin, end]) => {
      const element = make("span", {}, make("b", { textContent: phoneme }));
      element.style.left = `${(100 * begin) / seconds}%`;
      element.style.width = `${(100 * (end - begin)) / seconds}%`;
      return { element, begin, end };
    });
    const strip = make("div", { className: "phonemes" }, windowed(...spoken.map(({ element }) => element)));
    strip.setAttribute("aria-hidden", "true");
    const axis = make("div", { className: "seconds" }, windowed());
    find("mels").replaceChildren(...panels, ...(spoken.length ? [strip] : []), axis);
    cursors = [...find("mels").querySelectorAll(".cursor")];
    look(zoom, from + 0.5 / zoom);
  };

  // --- zoom in time --------------------------------------------------------------------------------------------
  let zoom = 1;
  let from = 0;
  const SHORTEST_VIEW = 0.25;
  const look = (wanted, centre) => {
    const seconds = clipNow().seconds;
    zoom = Math.min(Math.max(wanted, 1), Math.max(seconds / SHORTEST_VIEW, 1));
    from = Math.min(Math.max(centre - 0.5 / zoom, 0), 1 - 1 / zoom);
    find("mels").style.setProperty("--zoom", zoom);
    find("mels").style.setProperty("--from", from);
    find("zoom-out").disabled = zoom <= 1;
    drawAxis();
  };
  const zoomBy = (factor) => look(zoom * factor, position / clipNow().seconds);
  let axisOf = "";
  const drawAxis = () => {
    const seconds = clipNow().seconds;
    const layer = find("mels").querySelector(".seconds .layer");
    const width = find("mels").querySelector(".seconds .window").clientWidth;
    const strip = find("mels").querySelector(".phonemes");
    // Labels that do not fit side by side alternate between two lines.
    if (strip && spoken.length) strip.dataset.dense = (width * zoom) / seconds < NARROW_PHONEME * (spoken.length / seconds);
    const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60].find((one) => seconds / zoom / one <= width / 60) || 300;
    const wanted = [clipNow().id, step, zoom > 1].join(" ");
    if (wanted === axisOf && layer.children.length) return;
    axisOf = wanted;
    layer.replaceChildren();
    for (let tick = 0; tick < seconds; tick += step) {
      const label = make("span", { className: "second", textContent: `${Number(tick.toFixed(2))} s` });
      label.style.left = `${(100 * tick) / seconds}%`;
      layer.append(label);
    }
  };
  find("zoom-in").addEventListener("click", () => zoomBy(2));
  find("zoom-out").addEventListener("click", () => zoomBy(0.5));
  find("mels").addEventListener("wheel", (event) => {
    const by = event.deltaX || (event.shiftKey ? event.deltaY : 0);
    if (zoom <= 1 || !by) return;
    event.preventDefault();
    look(zoom, from + 0.5 / zoom + by / (find("mels").clientWidth * zoom));
  }, { passive: false });
  new ResizeObserver(() => { if (current >= 0) drawAxis(); }).observe(find("mels"));

  // --- F0 and formants over the mel; downloads ---------------------------------------------------------------------
  find("tracks-line").hidden = !data.tracks.length;
  if (data.f0_range) find("f0-range").textContent = `(${data.f0_range.map((hertz) => hertz.toFixed(0)).join(" to ")} Hz from bottom to top)`;
  const showTracks = () => { find("mels").dataset.tracks = find("tracks").checked; };
  find("tracks").addEventListener("change", showTracks);
  showTracks();
  const drawDownloads = () => {
    const id = clipNow().id;
    const files = [[`${source}.wav`, `${titleOf(source)} (wav)`], ["video.mp4", "video"]];
    if (clipNow().phonemes) files.push(["phones.TextGrid", "phonemes (TextGrid)"]);
    find("downloads").replaceChildren("Download: ", ...files.flatMap(([file, text], number) => {
      const link = make("a", { href: path(file), download: `${id}_${file}`, textContent: text });
      return number ? [" · ", link] : [link];
    }));
  };
  if (data.table) Object.assign(find("table"), { href: data.table, textContent: "Download the scores of every clip (csv)", hidden: false });

  const drawClipScores = () => {
    const columns = data.measures.map((measure, index) => ({ measure, index })).filter(({ measure }) => measure.main);
    const head = make("tr", {}, make("th", { scope: "col", textContent: "This clip" }),
      ...columns.map(({ measure }) => make("th", { scope: "col", title: measure.meaning }, `${measure.title} ${ARROWS[measure.better]}`,
        make("span", { className: "unit", textContent: measure.unit || " " }))));
    const body = data.rows.map((row) => {
      const line = make("tr", {}, make("th", { scope: "row", textContent: row.title, title: row.note }),
        ...columns.map(({ measure, index }) => make("td", { textContent: shown(scoreOf(clipNow(), row.name, index), measure) })));
      line.dataset.chosen = row.name === data.configured;
      return line;
    });
    find("clip-scores").replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
  };

  const load = (screen, url) => {
    if (url) screen.src = url; else screen.removeAttribute("src");
    screen.load();
  };
  const chooseFilm = () => {
    const films = clipNow().films || [];
    find("film-figure").hidden = !films.length;
    find("map-title").textContent = data.map_title;
    const kept = find("films").value;
    find("films").replaceChildren(...films.map(([file, title]) => make("option", { value: file, textContent: title })));
    if (films.some(([file]) => file === kept)) find("films").value = kept;
    load(film, films.length ? path(find("films").value) : "");
  };
  let addressed = false;
  const choose = (index) => {
    if (index === current) return;
    if (current >= 0) pause();
    for (const sound of Object.values(sounds)) { sound.removeAttribute("src"); sound.load(); }
    sounds = {};
    position = 0;
    current = index;
    zoom = 1;
    from = 0;
    const clip = clipNow();
    find("clip-title").textContent = clip.title;
    find("clip-title").href = `#${encodeURIComponent(clip.id)}`;
    // The address follows, once a clip has been chosen.
    if (location.hash || addressed) history.replaceState(null, "", find("clip-title").href);
    addressed = true;
    find("transcript").textContent = clip.text || "";
    find("transcript").hidden = !clip.text;
    load(video, path("video.mp4"));
    chooseFilm();
    drawClipScores();
    showSource();
    place();
    for (const button of list.querySelectorAll("button")) button.setAttribute("aria-current", Number(button.dataset.place) === current);
  };
  const step = (by) => {
    const next = order[order.indexOf(current) + by];
    if (next === undefined) return;
    choose(next);
    list.querySelector('[aria-current="true"]').scrollIntoView({ block: "nearest" });
  };

  data.sources.forEach((one, index) => {
    const button = make("button", { type: "button", title: one.note });
    if (index < 9) button.append(make("span", { className: "key", textContent: index + 1 }));
    button.append(one.title);
    button.dataset.source = one.name;
    button.addEventListener("click", () => hear(one.name));
    find("sources").append(button);
  });
  find("play").addEventListener("click", () => (playing ? pause() : play()));
  find("position").addEventListener("input", (event) => seek((event.target.value / 1000) * clipNow().seconds));
  find("previous").addEventListener("click", () => step(-1));
  find("next").addEventListener("click", () => step(1));
  find("films").addEventListener("change", () => { load(film, path(find("films").value)); place(); });
  for (const screen of [video, film]) {
    screen.addEventListener("loadeddata", () => keepInStep(screen));
    screen.addEventListener("seeked", () => { if (!playing) keepInStep(screen); });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target.closest("select, textarea, summary, input[type=checkbox]")) return;
    // Outside the player, arrow keys scroll.
    const scrolled = target.closest(".scroll");
    const listening = !scrolled && target.closest(".listen");
    const digit = /^[1-9]$/.test(event.key) ? data.sources[Number(event.key) - 1] : undefined;
    if (event.key === " ") {
      // A focused button outside the player handles the space bar itself.
      if (target.closest("button") && !target.closest("#player, #clips")) return;
      if (!event.repeat) { if (playing) pause(); else play(); }
    } else if (digit) hear(digit.name);
    else if (event.key === "ArrowLeft" && !scrolled) seek(now() - STEP_SECONDS);
    else if (event.key === "ArrowRight" && !scrolled) seek(now() + STEP_SECONDS);
    else if (event.key === "+" || event.key === "=") zoomBy(2);
    else if (event.key === "-") zoomBy(0.5);
    else if (event.key === "ArrowUp" && listening) step(-1);
    else if (event.key === "ArrowDown" && listening) step(1);
    else return;
    event.preventDefault();
  });
  // A button is also triggered when space is released.
  document.addEventListener("keyup", (event) => {
    if (event.key === " " && event.target.closest("#player button, #clips button")) event.preventDefault();
  });

  const addressedClip = () => {
    let id = "";
    try { id = decodeURIComponent(location.hash.slice(1)); } catch { return -1; }
    return data.clips.findIndex((clip) => clip.id === id);
  };
  window.addEventListener("hashchange", () => { if (addressedClip() >= 0) choose(addressedClip()); });

  drawScores();
  sortClips();
  choose(addressedClip() >= 0 ? addressedClip() : order[0]);
  if (addressedClip() >= 0) list.querySelector('[aria-current="true"]').scrollIntoView({ block: "nearest" });
})();
