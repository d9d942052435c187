// Follows a daemon in a real browser and says what is wrong. Run by TestBrowserLive: node live.mjs
// CONSOLE CONTROL TOKEN CHROMIUM; CONTROL/send?n= makes verdicts, CONTROL/change changes a record of a
// watched domain, CONTROL/notified waits for the notification.
import { createRequire } from "node:module";

const require = createRequire(process.env.POSTSEAL_NODE_MODULES + "/");
const { chromium } = require("playwright-core");
const [url, control, token, executablePath] = process.argv.slice(2);
const problems = [];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const open = (more = {}) => browser.newContext({ viewport: { width: 1280, height: 900 }, extraHTTPHeaders: { Authorization: "Bearer " + token }, ...more });
const ask = async (path) => (await fetch(control + path)).json();
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// until waits for a condition, which the test's own time limit ends.
async function until(what, f) {
  for (let i = 0; i < 600; i++) {
    if (await f()) return true;
    await new Promise((done) => setTimeout(done, 50));
  }
  problems.push("never: " + what);
  return false;
}

// record keeps the numbers of the frames that a page gets.
const record = () => {
  const Plain = window.EventSource;
  window.seqs = [];
  window.EventSource = class extends Plain {
    constructor(address) {
      super(address);
      this.addEventListener("message", (e) => window.seqs.push(Number(e.lastEventId)));
    }
  };
};
const following = (page) => until("following", async () => (await page.locator("#following").textContent()) === "following");
const refs = (page) => page.locator("main td a[href^='/v/']").evaluateAll((list) => list.map((a) => a.getAttribute("href").slice(3, 11)));

// part runs one part; what it throws is a problem.
async function part(name, f) {
  const began = Date.now();
  await f().catch((e) => problems.push(`${name}: ${e.message}`));
  console.error(`${name}: ${Date.now() - began} ms`);
}

await ask("/send?n=1"); // else there is no table yet

// Three viewers see each verdict and each frame once and in order.
await part("viewers", async () => {
  const pages = [];
  for (let i = 0; i < 3; i++) {
    const context = await open();
    await context.addInitScript(record);
    const page = await context.newPage();
    await page.goto(url + "/live?show=all");
    await following(page);
    pages.push(page);
  }
  const want = [];
  for (let i = 0; i < 6; i++) {
    want.push(...(await ask("/send?n=5")).refs);
    await new Promise((done) => setTimeout(done, 120)); // so that they are several frames
  }
  want.reverse();
  let frames;
  for (const [i, page] of pages.entries()) {
    await until(`viewer ${i} sees all`, async () => (await refs(page)).length >= want.length + 1);
    const got = (await refs(page)).slice(0, want.length);
    if (!same(got, want)) problems.push(`viewer ${i} sees ${got}, want ${want}`);
    const seqs = await page.evaluate(() => window.seqs);
    if (seqs.length < 3 || seqs.some((n, k) => k > 0 && n !== seqs[k - 1] + 1)) problems.push(`viewer ${i}: frames ${seqs}`);
    frames ??= seqs;
    if (!same(seqs, frames)) problems.push(`viewer ${i}: other frames than viewer 0: ${seqs}, ${frames}`);
    await page.context().close();
  }
});

// Pages that load while mail arrives show each verdict once, in each tab of a browser.
await part("arriving", async () => {
  const context = await open();
  let sending = true;
  const sent = [];
  const sender = (async () => {
    for (; sending; await new Promise((done) => setTimeout(done, 25))) sent.push(...(await ask("/send?n=1")).refs);
  })();
  const tabs = [];
  for (let i = 0; i < 4; i++) {
    const page = await context.newPage();
    await page.goto(url + "/live?show=all");
    tabs.push(page);
  }
  await new Promise((done) => setTimeout(done, 1500));
  sending = false;
  await sender;
  const end = (await ask("/send?n=1")).refs[0];
  for (const [i, page] of tabs.entries()) {
    await until(`tab ${i} sees the last one`, async () => (await refs(page)).includes(end));
    const got = await refs(page);
    const odd = sent.slice(-100).filter((r) => got.filter((x) => x === r).length !== 1);
    if (odd.length) problems.push(`tab ${i}: ${odd.length} of ${sent.length} verdicts are missing or shown twice: ${odd}`);
  }
  await context.close();
});

// The curves and their table follow the mail, and go on as the minutes do; the server draws the same.
await part("minutes", async () => {
  const context = await open();
  const page = await context.newPage();
  await page.clock.install();
  await page.goto(url + "/live?show=all");
  await following(page);
  const table = () => page.locator("#minutes tr").evaluateAll((rows) => rows.map((r) => [r.querySelector("time").dateTime, ...[...r.querySelectorAll("td")].map((c) => Number(c.textContent))]));
  const sum = async () => (await table()).reduce((n, r) => n + r[1], 0);
  const points = () => page.locator("[data-curve=accept] .line").evaluate((e) => e.getAttribute("d").slice(1).split("L").map((p) => p.split(" ").map(Number)).sort((a, b) => a[0] - b[0]));
  const before = await sum();
  await ask("/send?n=5");
  await until("the table of the minutes has five more", async () => (await sum()) === before + 5);
  const drawn = await points();
  await page.reload();
  await following(page);
  const server = await points();
  if (drawn.length !== 60 || server.length !== 60) problems.push(`curves of ${drawn.length} and ${server.length} minutes`);
  const first = (await table())[0][0];
  if (drawn.some((p, i) => Math.abs(p[1] - server[i][1]) > 0.2) && (await table())[0][0] === first) problems.push(`the curve is ${drawn}, and that of the server ${server}`);
  await page.clock.fastForward(125000);
  const later = await table();
  if (later.length !== 60 || Date.parse(later[0][0]) - Date.parse(first) < 120000) problems.push(`two minutes later the table begins at ${later[0][0]}, before ${first}, with ${later.length} rows`);
  await context.close();
});

// Eight tabs have one connection, and all follow; when the tab that holds it closes, another takes
// over without a gap. Hidden tabs have none; shown again, a tab catches up.
await part("tabs", async () => {
  const context = await open();
  let opened = 0;
  const now = new Set();
  context.on("request", (r) => r.url().includes("/v1/live") && (opened++, now.add(r)));
  const ended = (r) => now.delete(r);
  context.on("requestfinished", ended);
  context.on("requestfailed", ended);
  let tabs = [];
  for (let i = 0; i < 8; i++) {
    const page = await context.newPage();
    await page.goto(url + "/live?show=all");
    tabs.push(page);
  }
  await following(tabs[0]);
  const seen = async (list) => {
    for (const r of (await ask("/send?n=2")).refs) for (const [i, page] of list.entries()) await until(`tab ${i} sees ${r}`, async () => (await refs(page)).filter((x) => x === r).length === 1);
  };
  await seen(tabs);
  // Each of the others asked once for what came while it loaded.
  if (opened !== 8 || now.size !== 1) problems.push(`8 tabs: ${opened} connections made, ${now.size} open`);
  const first = tabs.shift();
  await first.close();
  for (const r of now) if (r.frame().page() === first) now.delete(r); // a closed page says nothing of its requests
  await until("another tab takes over", async () => now.size === 1 && opened === 9);
  await seen(tabs);
  if (opened !== 9) problems.push(`after the first tab closed: ${opened} connections made`);
  const hide = (hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  };
  for (const page of tabs.slice(1)) await page.evaluate(hide, true); // those that wait, too: none may take over
  await tabs[0].evaluate(hide, true);
  await until("hidden tabs have no connection", async () => now.size === 0);
  const missed = (await ask("/send?n=1")).refs[0];
  if (now.size !== 0) problems.push(`hidden: ${now.size} connections`);
  await new Promise((done) => setTimeout(done, 1000)); // the page shows what is in the database
  await tabs[0].evaluate(hide, false).catch(() => {}); // it loads again
  await until("a tab that is shown again catches up", async () => (await refs(tabs[0]).catch(() => [])).includes(missed));
  await context.close();
});

// By keyboard alone: from / to a rejected message, copy it for the postmaster, and back to its row.
await part("keyboard", async () => {
  const context = await open();
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
  const page = await context.newPage();
  const rejected = (await ask("/send?n=3&reject=1")).refs;
  await page.goto(url + "/");
  await page.keyboard.press("/");
  if ((await page.evaluate(() => document.activeElement?.id)) !== "q") problems.push("/ does not go to the field");
  await page.keyboard.type("applied:reject");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=applied/);
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  const row = await page.evaluate(() => document.activeElement?.getAttribute("href"));
  if (!row?.startsWith("/v/")) problems.push(`j goes to ${row}`);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/v\//);
  await page.keyboard.press("c");
  let text = "";
  await until("the text is in the clipboard", async () => (text = await page.evaluate(() => navigator.clipboard.readText())).includes("Reference"));
  if (!text.includes(row.slice(3, 11)) || /[<>]/.test(text) || text.includes("secret-local-part")) problems.push("copied: " + text);
  await page.goBack();
  await page.waitForURL(/q=applied/);
  await until("back at the same row", async () => (await page.evaluate(() => document.activeElement?.getAttribute("href"))) === row);
  if (!rejected.includes(row.slice(3, 11))) problems.push(`${row} is not one of ${rejected}`);
  await context.close();
});

// A person logs in, and watches a domain with one key; when its record changes, the page Live and the notification say so.
await part("watch", async () => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  await page.goto(url + "/audit/watched.test"); // to the login
  await page.getByLabel("Token").fill(token);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/audit/watched.test");
  await page.keyboard.press("w");
  await page.waitForURL("**/audit/watch");
  await page.getByRole("link", { name: "watched.test" }).first().waitFor();
  await ask("/change");
  const { text } = await ask("/notified");
  if (!text.includes("watched.test")) problems.push("notified: " + text);
  await page.goto(url + "/live");
  if (!(await page.locator("aside").innerText()).includes("watched.test changed")) problems.push("Live does not say that watched.test changed");
  await page.goto(url + "/audit/watched.test");
  if (!(await page.getByRole("complementary").innerText()).includes("DMARC")) problems.push("the history does not show the change");
  await context.close();
});

// An administrator reads a report from a file, and says that its source is theirs; without scripts too.
await part("reports", async () => {
  for (const javaScriptEnabled of [true, false]) {
    const context = await open({ javaScriptEnabled });
    const page = await context.newPage();
    const name = javaScriptEnabled ? "scripted.test" : "plain.test";
    const { xml } = await ask("/report?domain=" + name);
    await page.goto(url + "/reports?all=1");
    if (!(await page.getByLabel("xml, gz, zip or eml").isVisible())) await page.getByText("Read reports from files").click();
    await page.getByLabel("xml, gz, zip or eml").setInputFiles([{ name: "r.xml", mimeType: "text/xml", buffer: Buffer.from(xml) }, { name: "x.zip", mimeType: "application/zip", buffer: Buffer.from("PK") }]);
    await page.getByRole("button", { name: "Read", exact: true }).click();
    const text = await page.locator("main").innerText();
    if (!text.startsWith("1 report was read, about 40 messages.") || !text.includes("refused")) problems.push("after the upload: " + text);
    await page.getByRole("cell", { name, exact: true }).getByRole("link").click();
    await page.getByRole("button", { name: "Yes, ours: bulk.test" }).click();
    await page.waitForURL(/days=30/);
    if (!(await page.locator("main").innerText()).includes("it sends for the domain: token said so on ")) problems.push("what was said is not shown");
    await page.getByRole("button", { name: "Undo what was said of bulk.test" }).click();
    await page.getByRole("button", { name: "Not ours: bulk.test" }).waitFor();
    await context.close();
  }
});

// The chosen colors hold on each page, also without scripts and against those of the system.
await part("theme", async () => {
  for (const javaScriptEnabled of [true, false]) {
    const context = await open({ javaScriptEnabled, colorScheme: "light" });
    const page = await context.newPage();
    const dark = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor === "rgb(15, 19, 24)");
    await page.goto(url + "/search?q=applied:reject");
    if (await dark()) problems.push("dark, although the system is light");
    await page.getByRole("button", { name: "Dark", exact: true }).click();
    await page.waitForURL(/\/search\?q=applied:reject/);
    if (!(await dark())) problems.push("light after Dark");
    await page.goto(url + "/live?follow=0");
    if (!(await dark())) problems.push("light on another page");
    await page.emulateMedia({ colorScheme: "dark" });
    await page.getByRole("button", { name: "Light", exact: true }).click();
    await page.waitForURL(/follow=0/);
    if (await dark()) problems.push("dark after Light");
    await page.getByRole("button", { name: "As the system" }).click();
    await page.waitForURL(/follow=0/);
    if (!(await dark())) problems.push("light as the system, which is dark");
    await context.close();
  }
});
await browser.close();
console.log(JSON.stringify(problems));
