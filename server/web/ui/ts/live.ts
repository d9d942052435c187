// live follows the stream of verdicts. One tab of a browser holds the connection (Web Locks) and
// gives the frames to the others (BroadcastChannel): on HTTP/1.1 six streams would block all else.
import { times } from "./times";

interface Mark { symbol: string; tone: string; words: string }
interface Row {
  ref: string; at: string; n: number; applied: string; author: string; sender: string; client: string; because: string;
  marks: { spf: Mark; dkim: Mark; dmarc: Mark };
}
interface Run { n: number; at: string; text: string }
interface Frame { seq: number; counts: Record<string, number>; rows: Row[]; runs: Run[] }

const maxRows = 200;
let within = ""; // the search that the page shows
const tones: Record<string, string> = { accept: "ok", quarantine: "warn", reject: "bad", defer: "hold" };
const svg = "http://www.w3.org/2000/svg";

function el(tag: string, className = "", ...children: (Node | string)[]): HTMLElement {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

function icon(symbol: string): SVGElement {
  const s = document.createElementNS(svg, "svg");
  s.setAttribute("class", "i");
  s.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(svg, "use");
  use.setAttribute("href", "#" + symbol);
  s.append(use);
  return s;
}

function time(at: string): HTMLElement {
  const t = document.createElement("time");
  t.dateTime = at;
  t.textContent = new Date(at).toLocaleTimeString("en-GB", { timeZone: "UTC" }); // what comes now is of today
  return t;
}

function mark(m: Mark, method: string): HTMLElement {
  const span = el("span", m.tone, icon(m.symbol), el("span", "vh", m.words));
  span.title = m.words;
  const cell = el("td", "mk", span);
  cell.dataset.k = method;
  return cell;
}

function rowOf(r: Row): HTMLElement {
  const verdict = el("td", "", el("span", "v " + (tones[r.applied] ?? "none"), icon(tones[r.applied] ?? "none"), r.applied));
  if (r.n > 1) verdict.append(" ", el("span", "f", "\u00d7" + r.n));
  const link = el("a", "m nb", r.ref.slice(0, 4) + "-" + r.ref.slice(4)) as HTMLAnchorElement;
  link.href = "/v/" + encodeURIComponent(r.ref) + "?q=" + encodeURIComponent(within);
  return el("tr", "fresh", el("td", "q", time(r.at)), verdict, el("td", "au", el("b", "", r.author)), el("td", "d", r.sender + " ", el("span", "m f", r.client)),
    mark(r.marks.spf, "SPF"), mark(r.marks.dkim, "DKIM"), mark(r.marks.dmarc, "DMARC"), el("td", "d w100", r.because), el("td", "end", link));
}

function runOf(r: Run): HTMLElement {
  const cell = el("td", "", "accepted: " + r.text);
  cell.setAttribute("colspan", "7");
  return el("tr", "run fresh", el("td", "q", time(r.at)), el("td", "", el("span", "v none", icon("ok"), String(r.n))), cell);
}

// figures adds the counts of a frame to those of the page.
function figures(counts: Record<string, number>): void {
  for (const [action, n] of Object.entries(counts)) {
    for (const e of document.querySelectorAll<HTMLElement>(`[data-count="${action}"]`)) {
      const sum = Number(e.dataset.n ?? "0") + n;
      e.dataset.n = String(sum);
      e.textContent = sum.toLocaleString("en");
    }
  }
  rates(counts);
  minutes(counts);
}

// minutes adds counts to the minute of the newest row of the table, begins new rows as time goes by, and draws the
// curves again from the table, as the server does.
const clock = document.querySelector<HTMLTimeElement>(".env time");
const ahead = clock ? Date.parse(clock.dateTime) - Date.now() : 0; // of the server's clock
function minutes(counts: Record<string, number>): void {
  const body = document.getElementById("minutes");
  const names = [...document.querySelectorAll<HTMLElement>("[data-curve]")].map((e) => e.dataset.curve ?? "");
  const now = Math.floor((Date.now() + ahead) / 60000) * 60000;
  let first = body?.firstElementChild;
  const last = Date.parse(first?.querySelector("time")?.dateTime ?? "");
  if (!body || !first || now - last > 3600000) return;
  for (let at = last + 60000; at <= now; at += 60000) {
    const row = first.cloneNode(true) as HTMLElement;
    const t = row.querySelector("time");
    const iso = new Date(at).toISOString();
    if (t) [t.dateTime, t.textContent] = [iso, iso.slice(11, 16)];
    times(row);
    for (const td of row.querySelectorAll("td")) td.textContent = "0";
    body.prepend(row);
    first = row;
    if (body.children.length > 60) body.lastElementChild?.remove();
  }
  names.forEach((name, i) => {
    const cell = first?.querySelectorAll("td")[i];
    if (cell && counts[name]) cell.textContent = String(Number(cell.textContent) + counts[name]);
    draw(name, [...body.children].map((row) => Number(row.querySelectorAll("td")[i]?.textContent)));
  });
}

// draw shows the counts of minutes, the newest first.
function draw(name: string, counts: number[]): void {
  const most = Math.max(1, ...counts);
  const line = counts.map((n, k) => `${59 - k} ${(34.5 - (n / most) * 33).toFixed(1)}`);
  const paths = document.querySelectorAll(`[data-curve="${name}"] path`);
  paths[0]?.setAttribute("d", `M${line.join("L")}V36H59Z`);
  paths[1]?.setAttribute("d", "M" + line.join("L"));
}

// rates are messages a minute, averaged over the last ten minutes.
let rated = Date.now();
function rates(counts: Record<string, number>): void {
  const now = Date.now();
  const less = Math.exp((rated - now) / 600000);
  rated = now;
  for (const e of document.querySelectorAll<HTMLElement>("[data-rate]")) {
    const r = Number(e.dataset.n ?? "0") * less + (counts[e.dataset.rate ?? ""] ?? 0) / 10;
    e.dataset.n = String(r);
    e.textContent = r >= 10 ? Math.round(r).toLocaleString("en") : r < 0.05 ? "0" : r.toFixed(1);
  }
}

// tell says every ten seconds to screen readers what came, and lets the rates fall while nothing comes.
let came = { all: 0, other: 0 };
function tell(): void {
  rates({});
  minutes({});
  const said = document.getElementById("told");
  if (said && came.all > 0) said.textContent = `${came.all} messages came, ${came.other} of them not accepted`;
  came = { all: 0, other: 0 };
}

function show(f: Frame, body: HTMLElement): void {
  figures(f.counts);
  for (const [action, n] of Object.entries(f.counts)) {
    came.all += n;
    if (action !== "accept") came.other += n;
  }
  const fresh = [...f.rows.map((r) => ({ at: r.at, row: rowOf(r) })), ...f.runs.map((r) => ({ at: r.at, row: runOf(r) }))];
  fresh.reverse(); // the newest come first in a frame; those of the same time keep their order
  fresh.sort((a, b) => Date.parse(a.at) - Date.parse(b.at)); // as text, 07.12Z would be after 07.123Z
  const focused = document.activeElement;
  for (const f of fresh) {
    times(f.row);
    body.prepend(f.row);
  }
  while (body.children.length > maxRows) body.lastElementChild?.remove();
  if (focused instanceof HTMLElement && focused.isConnected) focused.focus({ preventScroll: true });
}

// live begins where the page ended: the server put the number of its last verdict into the page.
export function live(): void {
  const section = document.querySelector<HTMLElement>("[data-live]");
  const state = document.getElementById("following");
  if (!section || !state || !("EventSource" in window)) return;
  const table = section.querySelector<HTMLElement>("tbody");
  const query = section.dataset.live ?? "";
  within = section.dataset.within ?? "";
  const name = "postseal.live" + query;
  const channel = new BroadcastChannel(name);
  let stream: EventSource | undefined;
  let last = 0;
  let early: Frame[] | undefined = []; // what came before the first frame of this page
  let missed = ""; // in words
  let sum = 0;
  const say = (text: string) => {
    state.textContent = missed ? missed + " missed: reload to see them" : text;
    state.className = state.textContent === "following" ? "following" : "";
  };
  const take = (f: Frame) => {
    if (f.seq <= last) return;
    last = f.seq;
    say("following");
    if (table) show(f, table);
    else if (f.rows.length + f.runs.length > 0) location.reload(); // the page has no table yet
  };
  const first = (f: Frame) => {
    take(f);
    early?.forEach(take);
    early = undefined;
  };
  const address = () => "/v1/live" + query + (query ? "&" : "?") + (last ? "after=" + last : "from=" + (section.dataset.from ?? ""));
  const gap = (data: string) => {
    const g = JSON.parse(data) as { missed: number; of: string };
    sum = g.missed === 0 || missed.startsWith("some") ? 0 : sum + g.missed; // 0: nobody knows how many
    missed = (sum || "some") + " " + (g.of === "frames" ? "updates" : g.of);
    say("");
  };
  channel.onmessage = (e) => {
    if (document.hidden) return;
    if (typeof e.data === "string") gap(e.data);
    else if (early) early.push(e.data as Frame);
    else take(e.data as Frame);
  };
  // catchUp gets the first frame of a page that does not hold the connection, and no more.
  const catchUp = () => {
    const once = new EventSource(address());
    once.onmessage = (e) => {
      once.close();
      first(JSON.parse(e.data) as Frame);
    };
    once.addEventListener("gap", (e) => gap((e as MessageEvent<string>).data));
    once.onerror = () => { // no more than what the others see
      once.close();
      gap('{"missed":0,"of":"verdicts"}');
      early?.forEach(take);
      early = undefined;
    };
  };
  const follow = () =>
    new Promise<void>((done) => {
      if (document.hidden) return done(); // it waited for the lock, and was hidden in the meantime
      const connect = () => {
        if (document.hidden) return;
        const s = (stream = new EventSource(address()));
        s.onmessage = (e) => {
          const f = JSON.parse(e.data) as Frame;
          if (early) return first(f); // the other tabs get their own
          take(f);
          channel.postMessage(f);
        };
        s.addEventListener("gap", (e) => {
          const { data } = e as MessageEvent<string>;
          gap(data);
          channel.postMessage(data);
        });
        s.onopen = () => say("following");
        s.onerror = () => {
          say("not connected, trying again");
          if (s.readyState === EventSource.CLOSED) setTimeout(connect, 5000); // refused: the browser gives up
        };
      };
      connect();
      document.addEventListener("visibilitychange", function hidden() {
        if (!document.hidden) return;
        document.removeEventListener("visibilitychange", hidden);
        stream?.close();
        stream = undefined;
        done();
      });
    });
  const start = () => {
    if (document.hidden) return;
    if (!navigator.locks) return void follow();
    void navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      if (lock) return follow();
      catchUp();
      void navigator.locks.request(name, follow);
    });
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) location.reload(); // one request catches up
  });
  setInterval(tell, 10000);
  start();
}
