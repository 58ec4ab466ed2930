"use strict";
/* What clusterd-web tells, as a page. Whatever a worker has said gets in as text and
   never as markup. */

const SPAN = 300000;			/* of the graphs, in ms */
const LINES = 400, EVENTS = 200, SEATS = 600;
const QUIET = 12000;			/* without a word: the connection is lost */
const HIDDEN = 30000;			/* a page that nobody sees lets go */
const VALUES = ["cpu", "memory", "connections", "waiting"];
const NAMES = { cpu: "CPU", memory: "Memory", connections: "Conns", waiting: "Queue" };
const LONG = Object.assign({}, NAMES, { connections: "Connections" });
const KINDS = {
	ready: ["●", "good"], running: ["●", "good"], ended: ["✓", "off"],
	starting: ["◐", "warn"], reloading: ["◐", "warn"], draining: ["◒", "warn"],
	stopping: ["◒", "warn"], "going down": ["◒", "warn"], backoff: ["↻", "bad"],
	killed: ["✖", "bad"], parked: ["‖", "bad"], failed: ["✖", "bad"],
	stopped: ["■", "off"], waiting: ["◌", "warn"], unhealthy: ["✚", "bad"],
};
const WORDS = {
	start: "started", ready: "is ready", drain: "finishes what it has",
	stop: "got the stop signal", kill: "is killed", end: "has ended, as asked",
	death: "died", parked: "is not started again", reload: "reload begins",
	reloaded: "reload complete", aborted: "reload aborted", scale: "scaled",
	added: "added", removed: "removed", applied: "configuration in force",
	refused: "configuration refused", unhealthy: "is unhealthy", healthy: "is well again",
};
const BAD = ["death", "parked", "aborted", "refused", "unhealthy"];
const STATE_OF = { start: "starting", ready: "ready", drain: "draining", stop: "stopping", kill: "killed", parked: "parked" };

const $ = (id) => document.getElementById(id);
const apps = new Map(), rows = new Map();
const ticks = [];			/* when there was a state, in ms */
let stream = null, delay = 500, timer = 0, heard = 0, hiddenAt = 0;
let actions = false, first = true, skew = 0;

/* ---- words ---- */

function make(name, kind, text) {
	const e = document.createElement(name);
	if (kind) e.className = kind;
	if (text !== undefined) e.textContent = text;
	return e;
}

function set(e, text) {
	if (e.firstChild && e.firstChild.nodeType === 3 && e.childNodes.length === 1) {
		if (e.firstChild.data !== text) e.firstChild.data = text;
	} else {
		e.textContent = text;
	}
}

/* Control characters are shown, and directions that would mislead are not followed. */
function harmless(text) {
	return text.replace(/[\x00-\x08\x0b-\x1f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
		.replace(/\x7f/g, "\u2421")
		.replace(/[\x80-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

function bytes(n) {
	if (n === undefined) return "–";
	const units = ["B", "K", "M", "G", "T"];
	let i = 0;
	while (n >= 1000 && i < 4) { n /= 1024; i++; }
	return (n < 10 && i > 0 ? n.toFixed(1) : Math.round(n)) + units[i];
}

function percent(n) {
	return n === undefined ? "–" : (n / 10).toFixed(n < 100 ? 1 : 0) + "%";
}

function shown(key, n) {
	if (key === "cpu") return percent(n);
	if (key === "memory") return bytes(n);
	return n === undefined ? "–" : String(n);
}

function duration(s) {
	if (!(s >= 0)) return "–";
	if (s < 60) return Math.floor(s) + "s";
	if (s < 3600) return Math.floor(s / 60) + "m" + Math.floor(s % 60) + "s";
	if (s < 86400) return Math.floor(s / 3600) + "h" + Math.floor(s % 3600 / 60) + "m";
	return Math.floor(s / 86400) + "d" + Math.floor(s % 86400 / 3600) + "h";
}

function clock(ms) {
	const d = new Date(ms), two = (n) => String(n).padStart(2, "0");
	return two(d.getHours()) + ":" + two(d.getMinutes()) + ":" + two(d.getSeconds());
}

function now() { return Date.now() + skew; }

function putState(e, state) {
	const kind = KINDS[state] || ["○", "warn"];
	e.dataset.kind = kind[1];
	set(e, kind[0] + " " + (state || "unknown"));
}

/* ---- graphs ---- */

const SVG = "http://www.w3.org/2000/svg";

function makeGraph() {
	const svg = document.createElementNS(SVG, "svg");
	svg.setAttribute("viewBox", "0 0 100 20");
	svg.setAttribute("preserveAspectRatio", "none");
	svg.setAttribute("role", "img");
	for (const kind of ["area", "line"]) {
		const path = document.createElementNS(SVG, "path");
		path.setAttribute("class", kind);
		svg.append(path);
	}
	return svg;
}

/* The last values of `history` are those of the last ticks. */
function drawGraph(svg, key, history) {
	const at = ticks.length - history.length, end = ticks[ticks.length - 1];
	let most = 0, points = [], pen = false, d = "";
	for (const v of history) if (v > most) most = v;
	const top = key === "cpu" ? Math.max(most, 100) : Math.max(most * 1.15, 1);
	for (let i = 0; i < history.length; i++) {
		const v = history[i];
		if (v === undefined) { pen = false; continue; }
		const x = (100 - (end - ticks[at + i]) / SPAN * 100).toFixed(1);
		const y = (19 - v / top * 18).toFixed(1);
		d += (pen ? "L" : "M") + x + " " + y;
		pen = true;
		points.push(x);
	}
	svg.lastChild.setAttribute("d", d);
	svg.firstChild.setAttribute("d", points.length > 1 && d.indexOf("M", 1) < 0 ?
		d + "L" + points[points.length - 1] + " 20L" + points[0] + " 20Z" : "");
	svg.setAttribute("aria-label", LONG[key] + ", the last minutes: now " +
		shown(key, history[history.length - 1]) + ", at most " + shown(key, most));
}

function remember(item, values) {
	if (!item.history) item.history = VALUES.map(() => []);
	VALUES.forEach((key, i) => {
		const h = item.history[i];
		h.push(values[key]);
		while (h.length > ticks.length) h.shift();
	});
}

/* ---- workers ---- */

const seen = new IntersectionObserver((entries) => {
	for (const entry of entries) {
		const row = rows.get(entry.target.dataset.id);
		if (!row) continue;
		row.visible = entry.isIntersecting;
		if (row.visible) drawRow(row);
	}
}, { rootMargin: "150px" });

function makeRow(data) {
	const e = make("div", "row"), row = { data, e, visible: false, cells: {} };
	e.setAttribute("role", "row");
	e.dataset.id = data.id;
	const cell = (name, label, kind) => {
		const c = make("span", kind || "of");
		c.setAttribute("role", "cell");
		if (label) c.dataset.of = label;
		e.append(c);
		row.cells[name] = c;
		return c;
	};
	cell("name", "");
	cell("state", "", "state");
	cell("pid", "pid");
	cell("generation", "gen");
	cell("since", "up");
	for (const key of VALUES) {
		const c = cell(key, NAMES[key], "graph of");
		c.append(makeGraph(), make("b"));
	}
	cell("restarts", "restarts");
	cell("why", "", "why");
	row.cells.name.append(make("b"), " ", make("small"));
	return row;
}

function order(a, b) {
	const roles = ["seat", "next", "retiring"];
	return a.instance - b.instance || roles.indexOf(a.role) - roles.indexOf(b.role) ||
		(a.pid || 0) - (b.pid || 0);
}

function placeRow(app, row) {
	const list = app.workers;
	let low = 0, high = list.length;
	while (low < high) {
		const middle = low + high >> 1;
		if (order(list[middle].data, row.data) < 0) low = middle + 1; else high = middle;
	}
	app.rows.insertBefore(row.e, low < list.length ? list[low].e : null);
	list.splice(low, 0, row);
	seen.observe(row.e);
}

function dropRow(row) {
	const app = apps.get(row.data.of);
	if (app) app.workers.splice(app.workers.indexOf(row), 1);
	seen.unobserve(row.e);
	row.e.remove();
	rows.delete(row.data.id);
}

function troubleOf(d) {
	if (d.unhealthy) return "unhealthy: " + d.unhealthy;
	if (!d.death) return "";
	return "last death: " + d.death + (d.died ? ", " + duration(now() / 1000 - d.died) + " ago" : "");
}

function drawRow(row) {
	const d = row.data, c = row.cells;
	set(c.name.firstChild, "#" + d.instance);
	set(c.name.lastChild, d.role === "seat" ? "" : d.role);
	putState(c.state, d.unhealthy && d.state === "ready" ? "unhealthy" : d.state);
	set(c.pid, d.pid ? String(d.pid) : "–");
	set(c.generation, d.generation === undefined ? "–" : String(d.generation));
	set(c.since, d.pid ? duration(now() / 1000 - d.since) : "–");
	set(c.restarts, d.restarts === undefined ? "–" : String(d.restarts));
	set(c.why, harmless(troubleOf(d)));
	VALUES.forEach((key, i) => {
		set(c[key].lastChild, shown(key, d[key]));
		if (row.history) drawGraph(c[key].firstChild, key, row.history[i]);
	});
}

/* ---- apps ---- */

function button(text, label, act) {
	const b = make("button", "", text);
	b.type = "button";
	b.setAttribute("aria-label", label);
	b.addEventListener("click", act);
	return b;
}

function makeApp(data) {
	const e = make("article"), app = { data, e, workers: [], graphs: {} };
	const id = "app-" + data.app;
	e.setAttribute("aria-labelledby", id);
	const head = make("header");
	app.title = make("h2", "", data.app);
	app.title.id = id;
	app.state = make("span", "state");
	app.count = make("span");
	app.doors = make("span", "doors");
	app.tools = make("span");
	app.tools.append(
		button("Reload", "Reload " + data.app, () => act({ action: "reload", app: data.app })), " ",
		button("−", "One instance of " + data.app + " less", () => act({ action: "scale", app: data.app, instances: "-1" })), " ",
		button("+", "One instance of " + data.app + " more", () => act({ action: "scale", app: data.app, instances: "+1" })));
	app.tools.hidden = !actions;
	head.append(app.title, app.state, app.count, app.doors, app.tools);
	app.error = make("p", "bad");
	app.seats = make("div", "seats");
	app.seats.setAttribute("role", "img");
	app.walk = make("p", "quiet");
	const sums = make("div", "sums");
	for (const key of VALUES) {
		const g = { e: make("div"), value: make("b"), svg: makeGraph() };
		g.e.append(make("small", "", LONG[key] + " "), g.value, g.svg);
		sums.append(g.e);
		app.graphs[key] = g;
	}
	app.rows = make("div", "rows");
	app.rows.setAttribute("role", "table");
	app.rows.setAttribute("aria-label", "Workers of " + data.app);
	const names = make("div", "row head");
	names.setAttribute("role", "row");
	for (const name of ["", "state", "pid", "gen", "up", "CPU", "memory", "connections", "queue", "restarts"]) {
		const c = make("span", "", name);
		c.setAttribute("role", "columnheader");
		names.append(c);
	}
	app.rows.append(names);
	e.append(head, app.error, app.walk, app.seats, sums, app.rows);
	const option = make("option", "", data.app);
	option.value = data.app;
	$("of").append(option);
	app.option = option;
	return app;
}

function dropApp(app) {
	for (const row of app.workers.slice()) dropRow(row);
	app.e.remove();
	app.option.remove();
	apps.delete(app.data.id);
	filterAll();
}

function sumOf(app) {
	const sum = {};
	for (const row of app.workers)
		for (const key of VALUES)
			if (key !== "waiting" && row.data[key] !== undefined)
				sum[key] = (sum[key] || 0) + row.data[key];
	for (const door of app.data.listeners || [])
		if (door.waiting !== undefined) sum.waiting = (sum.waiting || 0) + door.waiting;
	return sum;
}

function doorWords(door) {
	let text = harmless(door.address);
	if (door.balance) text += " " + door.balance;
	if (door.state && door.state !== "open") text += ", " + door.state;
	if (door.waiting) text += ", " + door.waiting + " of " + door.backlog + " waiting";
	if (door.dropped) text += ", " + door.dropped + " dropped";
	return text;
}

/* A reload walks over the seats: those of the generation it goes to are filled. */
function drawSeats(app) {
	const d = app.data, seats = app.workers.filter((w) => w.data.role === "seat");
	const goal = d.target !== undefined ? d.target : d.generation;
	const isNew = (w) => w.data.generation === goal;
	const many = seats.length > SEATS;
	app.seats.hidden = many;
	for (let i = app.seats.children.length; !many && i < seats.length; i++) app.seats.append(make("i"));
	while (app.seats.children.length > (many ? 0 : seats.length)) app.seats.lastChild.remove();
	for (let i = 0; !many && i < seats.length; i++) {
		const kind = seats[i].data.pid ? isNew(seats[i]) ? "new" : "" : "down";
		if (app.seats.children[i].className !== kind) app.seats.children[i].className = kind;
	}
	app.seats.setAttribute("aria-label", seats.filter(isNew).length + " of " + seats.length +
		" seats have generation " + goal);
	app.walk.hidden = d.target === undefined;
	if (d.target !== undefined)
		set(app.walk, "Reload to generation " + d.target + ": " + (d.moved || 0) + " of " + seats.length + " seats have changed over");
}

function drawApp(app) {
	const d = app.data, sum = app.sum || {};
	putState(app.state, d.state);
	set(app.count, d.ready + " of " + d.wanted + (d.most === undefined ? "" : " (" + d.least + "–" + d.most + ")") +
		" ready, generation " + d.generation);
	set(app.doors, (d.listeners || []).map(doorWords).join(" · "));
	set(app.error, d.reload_error ? "The last reload was aborted: " + harmless(d.reload_error) : "");
	app.error.hidden = !d.reload_error;
	drawSeats(app);
	VALUES.forEach((key, i) => {
		set(app.graphs[key].value, shown(key, sum[key]));
		if (app.history) drawGraph(app.graphs[key].svg, key, app.history[i]);
	});
}

/* ---- the state ---- */

function putItem(data) {
	if (data.app !== undefined) {
		let app = apps.get(data.id);
		if (!app) {
			app = makeApp(data);
			apps.set(data.id, app);
		}
		app.data = data;
		return;
	}
	let row = rows.get(data.id);
	const app = apps.get(data.of);
	if (!app) return;
	if (row) { row.data = data; return; }
	row = makeRow(data);
	rows.set(data.id, row);
	placeRow(app, row);
}

function dropItem(id) {
	if (rows.has(id)) dropRow(rows.get(id));
	else if (apps.has(id)) dropApp(apps.get(id));
}

function placeApps() {
	const list = [...apps.values()].sort((a, b) => a.data.place - b.data.place);
	list.forEach((app, i) => {
		const at = $("apps").querySelectorAll("article")[i];
		if (at !== app.e) $("apps").insertBefore(app.e, at || $("span"));
	});
	$("empty").hidden = apps.size > 0;
	$("span").hidden = apps.size === 0;
	set($("empty"), "clusterd runs no app.");
}

function tick(time) {
	ticks.push(time);
	while (ticks[0] < time - SPAN) ticks.shift();
	for (const row of rows.values()) remember(row, row.data);
	for (const app of apps.values()) {
		app.sum = sumOf(app);
		remember(app, app.sum);
	}
}

function drawAll() {
	for (const row of rows.values()) if (row.visible) drawRow(row);
	let ready = 0, wanted = 0;
	for (const app of apps.values()) {
		drawApp(app);
		ready += app.data.ready || 0;
		wanted += app.data.wanted || 0;
	}
	document.title = (ready < wanted ? "⚠ " : "") + ready + "/" + wanted + " ready – clusterd";
}

function who(c) {
	const parts = [];
	if (c.config) parts.push(c.config);
	parts.push(c.state, "pid " + c.pid, "up " + duration(now() / 1000 - c.since),
		"CPU " + percent(c.cpu), bytes(c.memory), "version " + c.version);
	if (c.supervisor_restarts) parts.push("supervisor restarted " + c.supervisor_restarts + "×: " + c.supervisor_death);
	if (c.reloads_refused) parts.push(c.reloads_refused + " reloads refused");
	set($("who"), harmless(parts.join(" · ")));
}

function onState(s) {
	skew = s.now - Date.now();
	if (s.whole) {
		const here = new Set(s.set.map((item) => item.id));
		for (const id of [...rows.keys(), ...apps.keys()]) if (!here.has(id)) dropItem(id);
	}
	for (const id of s.gone) dropItem(id);
	for (const item of s.set) if (item.app !== undefined) putItem(item);
	for (const item of s.set) if (item.app === undefined) putItem(item);
	placeApps();
	tick(s.now);
	drawAll();
	who(s.clusterd);
	say("on", "live");
}

/* ---- events ---- */

function eventWords(e) {
	let text = (e.app ? e.app + (e.instance === undefined ? "" : "[" + e.instance + "]") + " " : "") + (WORDS[e.event] || e.event);
	if (e.ready_ms !== undefined) text += " after " + e.ready_ms + "ms";
	if (e.wanted !== undefined) text += ", " + e.wanted + " wanted";
	if (e.text) text += ": " + e.text;
	if (e.restart_in_ms !== undefined) text += ", starts again in " + e.restart_in_ms + "ms";
	return harmless(text);
}

/* At once, before the next state has it. */
function apply(e) {
	const app = apps.get(e.app);
	if (!app || e.instance === undefined) return;
	const row = app.workers.find((w) => w.data.pid === e.pid) ||
		(e.event === "start" && app.workers.find((w) => w.data.instance === e.instance && !w.data.pid));
	if (!row) return;
	const d = Object.assign({}, row.data);
	if (e.event === "death" || e.event === "end") {
		if (e.next) d.state = e.next;
		if (e.text) { d.death = e.text; d.died = Date.parse(e.time) / 1000; }
		delete d.pid;
	} else if (e.event === "unhealthy" || e.event === "healthy") {
		d.unhealthy = e.event === "healthy" ? undefined : e.text || "its checks fail";
	} else if (STATE_OF[e.event]) {
		d.state = STATE_OF[e.event];
		if (e.event === "start") { d.pid = e.pid; d.since = Date.parse(e.time) / 1000; }
	}
	row.data = d;
	drawRow(row);
	drawSeats(app);
}

function onEvents(m) {
	const list = $("events");
	for (const e of m.list) {
		const li = make("li"), time = make("time", "", clock(Date.parse(e.time)));
		time.dateTime = e.time;
		li.append(time, (BAD.includes(e.event) ? "✖ " : "") + eventWords(e));
		if (BAD.includes(e.event)) li.dataset.kind = "bad";
		list.prepend(li);
		if (!first) apply(e);
	}
	const bad = m.list.filter((e) => BAD.includes(e.event));
	if (!first && bad.length) set($("news"), eventWords(bad[bad.length - 1]));
	if (m.lost) list.prepend(make("li", "", m.lost + " events are missing here"));
	while (list.children.length > EVENTS) list.lastChild.remove();
	$("no-events").hidden = list.children.length > 0;
	first = false;
}

/* ---- output ---- */

function isShown(li) {
	const text = $("filter").value.toLowerCase(), of = $("of").value;
	return (!of || li.dataset.app === of) && (!text || li.textContent.toLowerCase().includes(text));
}

function outputWords() {
	const list = $("output"), on = $("follow").checked;
	list.hidden = !on;
	const any = on && [...list.children].some((li) => !li.hidden);
	$("no-output").hidden = any;
	const elsewhere = [...apps.values()].every((a) => !["inherit", "null"].every((w) => w !== a.data.stdout && w !== a.data.stderr));
	set($("no-output"), !on ? "Not shown: nothing is asked of clusterd for it." :
		list.children.length ? "No line has that in it." :
		elsewhere && apps.size ? "No output passes through clusterd: with “stdout = prefix” it would." : "No line yet.");
}

function filterAll() {
	for (const li of $("output").children) li.hidden = !isShown(li);
	outputWords();
}

function onOutput(m) {
	const list = $("output"), atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 30;
	const some = document.createDocumentFragment();
	if (m.lost) some.append(make("li", "", m.lost + " lines are missing here"));
	for (const line of m.list.slice(-LINES)) {
		const li = make("li", line.err ? "err" : "");
		li.dataset.app = line.app;
		li.append(make("time", "", clock(line.ms)), make("b", "", line.app + "." + line.instance),
			make("code", "", harmless(line.text) + (line.cont ? " …" : "")));
		li.hidden = !isShown(li);
		some.append(li);
	}
	list.append(some);
	while (list.children.length > LINES) list.firstChild.remove();
	outputWords();
	if (atEnd) list.scrollTop = list.scrollHeight;
}

/* ---- actions ---- */

async function act(what) {
	set($("done"), "…");
	try {
		const answer = await fetch("/action", {
			method: "POST", body: JSON.stringify(what),
			headers: { "Content-Type": "application/json", Authorization: "Bearer " + $("token").elements.token.value },
		});
		const text = await answer.text();
		let words = text;
		try { words = JSON.parse(text).text; } catch (e) { /* it is text */ }
		set($("done"), (answer.ok ? "Done: " : "Not done: ") + what.action + " " + what.app + (words ? ": " + harmless(words) : ""));
	} catch (e) {
		set($("done"), "Not done: clusterd-web cannot be reached.");
	}
}

/* ---- the connection ---- */

function say(is, words) {
	document.body.dataset.is = is;
	$("live").dataset.is = is;
	set($("live").querySelector("b"), words);
	if (is === "on") $("trouble").hidden = true;
}

function trouble(words) {
	say("off", "not connected");
	$("trouble").hidden = false;
	set($("trouble"), words);
}

function close() {
	if (stream) stream.close();
	stream = null;
	clearTimeout(timer);
}

/* The browser would give up for ever on some answers. */
function lost(words) {
	close();
	trouble(words + " Trying again by itself.");
	timer = setTimeout(open, delay);
	delay = Math.min(delay * 2, 5000);
}

function open() {
	close();
	if (document.hidden && hiddenAt && Date.now() - hiddenAt > HIDDEN) return;
	stream = new EventSource("/events" + ($("follow").checked ? "?output=1" : ""));
	heard = Date.now();
	const on = (name, fn) => stream.addEventListener(name, (m) => {
		heard = Date.now();
		fn(JSON.parse(m.data));
	});
	on("hello", (m) => {
		delay = 500;
		first = true;
		actions = m.actions;
		$("token").hidden = !actions;
		for (const app of apps.values()) app.tools.hidden = !actions;
		$("events").textContent = "";
		$("output").textContent = "";
	});
	on("state", onState);
	on("events", onEvents);
	on("output", onOutput);
	on("beat", () => {});
	on("lost", (m) => trouble("clusterd does not answer: " + harmless(m.words)));
	stream.onerror = () => lost("The connection to clusterd-web is lost.");
}

setInterval(() => {
	if (document.hidden && hiddenAt && Date.now() - hiddenAt > HIDDEN && stream) {
		close();
		say("wait", "paused");
	} else if (stream && Date.now() - heard > QUIET) {
		lost("Nothing is heard of clusterd-web.");
	}
}, 1000);

document.addEventListener("visibilitychange", () => {
	hiddenAt = document.hidden ? Date.now() : 0;
	if (!document.hidden && !stream) open();
});
addEventListener("online", open);
$("follow").addEventListener("change", () => { outputWords(); open(); });
$("filter").addEventListener("input", filterAll);
$("of").addEventListener("change", filterAll);
$("token").addEventListener("submit", (e) => e.preventDefault());
open();
