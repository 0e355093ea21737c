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
      const line = make("tr", {}, make("th", { scope: "row", textContent: row.title, title: row.note }));
      line.dataset.chosen = row.name === data.configured;
      for (const { measure, index } of columns) line.append(scoreCell(row, measure, index));
      body.append(line);
    }
    find("scores").replaceChildren(make("thead", {}, head), body);
    markSorted();
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
  };
  const showSource = () => {
    for (const button of find("sources").children) button.setAttribute("aria-pressed", button.dataset.source === source);
    find("note").textContent = data.sources.find((one) => one.name === source).note;
    drawMels();
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
  const drawPanels = (names) => {
    const panels = names.map((name) => {
      const cursor = make("div", { className: "cursor" });
      const title = data.sources.find((one) => one.name === name).title;
      const graph = make("div", { className: "graph" },
        make("img", { src: path(`${name}.png`), alt: `Mel spectrogram, ${title}`, loading: "lazy", draggable: false }), cursor);
      for (const [label, share] of data.frequency_ticks) {
        const tick = make("span", { className: "tick", textContent: label });
        tick.style.bottom = `${100 * share}%`;
        graph.append(tick);
      }
      graph.addEventListener("pointerdown", (event) => {
        // Read the position first: selecting another sound redraws the pictures.
        const box = event.currentTarget.getBoundingClientRect();
        hear(name);
        seek(((event.clientX - box.left) / box.width) * clipNow().seconds);
      });
      const panel = make("div", { className: "mel" }, make("div", { className: "label", textContent: title }), graph);
      panel.dataset.name = name;
      return panel;
    });
    const axis = make("div", { className: "seconds" });
    const seconds = clipNow().seconds;
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60].find((one) => seconds / one <= 8) || 300;
    for (let tick = 0; tick < seconds; tick += step) {
      const label = make("span", { className: "second", textContent: `${Number(tick.toFixed(1))} s` });
      label.style.left = `${(100 * tick) / seconds}%`;
      axis.append(label);
    }
    const strip = make("div", { className: "phonemes" });
    strip.setAttribute("aria-hidden", "true");
    spoken = (clipNow().phonemes || []).map(([phoneme, begin, end]) => {
      const element = make("span", { textContent: phoneme });
      element.style.left = `${(100 * begin) / seconds}%`;
      element.style.width = `${(100 * (end - begin)) / seconds}%`;
      strip.append(element);
      return { element, begin, end };
    });
    find("mels").replaceChildren(...panels, ...(spoken.length ? [strip] : []), axis);
    cursors = [...find("mels").querySelectorAll(".cursor")];
  };

  const drawClipScores = () => {
    const columns = data.measures.map((measure, index) => ({ measure, index })).filter(({ measure }) => measure.main);
    const head = make("tr", {}, make("th", { scope: "col", textContent: "This clip" }),
      ...columns.map(({ measure }) => make("th", { scope: "col", textContent: measure.title, title: measure.meaning })));
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
    const kept = find("films").value;
    find("films").replaceChildren(...films.map(([file, title]) => make("option", { value: file, textContent: title })));
    if (films.some(([file]) => file === kept)) find("films").value = kept;
    load(film, films.length ? path(find("films").value) : "");
  };
  const choose = (index) => {
    if (index === current) return;
    if (current >= 0) pause();
    for (const sound of Object.values(sounds)) { sound.removeAttribute("src"); sound.load(); }
    sounds = {};
    position = 0;
    current = index;
    const clip = clipNow();
    find("clip-title").textContent = clip.title;
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
    else if (event.key === "ArrowUp" && listening) step(-1);
    else if (event.key === "ArrowDown" && listening) step(1);
    else return;
    event.preventDefault();
  });
  // A button is also triggered when space is released.
  document.addEventListener("keyup", (event) => {
    if (event.key === " " && event.target.closest("#player button, #clips button")) event.preventDefault();
  });

  drawScores();
  sortClips();
  choose(order[0]);
})();
