// Presses each single key on the pages of the console and says what it does wrong. Run by
// TestBrowserKeys: node keys.mjs URL CHROMIUM, with {pages: {name: path}} on stdin.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.env.POSTSEAL_NODE_MODULES + "/");
const { chromium } = require("playwright-core");
const [url, executablePath] = process.argv.slice(2);
const { pages, must } = JSON.parse(readFileSync(0, "utf8")); // must: keys that a page has to show
const problems = [];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
const page = await context.newPage();
page.setDefaultTimeout(10000);
page.on("pageerror", (e) => problems.push("error: " + e.message));

const focus = () => page.evaluate(() => { const e = document.activeElement; return e === document.body ? "" : `${e.tagName} ${e.id || e.getAttribute("href") || e.textContent}`; });
const listed = () => page.locator("#keys").isVisible();
const path = () => page.evaluate(() => location.pathname + location.search);

async function go(to) {
  await page.goto(url + to, { waitUntil: "load" });
  await drawn(); // after autofocus
  await page.evaluate(() => document.activeElement?.blur());
}

// drawn waits for two frames: a browser moves the focus away from what is gone when it draws.
function drawn() {
  return page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

// leads presses keys one after another and wants an address.
async function leads(name, keys, want) {
  const arrived = page.waitForNavigation({ url: (u) => want.test(u.pathname + u.search) });
  for (const k of keys) await page.keyboard.press(k);
  await arrived.catch(async () => problems.push(`${name}: ${keys.join(" ")} leads to ${await path()}, not to ${want}`));
}

async function copies(name, key, want) {
  await page.evaluate(() => navigator.clipboard.writeText("nothing"));
  await page.keyboard.press(key);
  await page.waitForFunction(async (text) => (await navigator.clipboard.readText()).includes(text), want).catch(() => problems.push(`${name}: ${key} does not copy ${want}`));
}

// Keys that each page has.
for (const [name, to] of Object.entries(pages)) {
  await go(to);
  await page.keyboard.press("?");
  if (!(await listed())) problems.push(`${name}: ? does not list the keys`);
  await page.keyboard.press("Escape");
  if (await listed()) problems.push(`${name}: Escape does not close the list`);
  await drawn();
  for (const k of ["Control+j", "Alt+j", "Meta+j", "Control+k"]) await page.keyboard.press(k);
  const moved = await focus();
  if (moved) problems.push(`${name}: a key with Ctrl, Alt or Meta moves to ${moved}`);
  await page.keyboard.press("j");
  const first = await focus();
  const some = await page.locator("main tbody a[href], main h2").count();
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  if ((some > 0 && !first) || (await focus()) !== first) problems.push(`${name}: j j k goes to ${await focus()}, not to ${first || "a row or a section"}`);
  await page.keyboard.press("/");
  await page.waitForFunction(() => ["q", "domain"].includes(document.activeElement?.id)).catch(() => problems.push(`${name}: / leads to no field`));
  await page.keyboard.type("j?");
  if ((await listed()) || !(await page.evaluate(() => document.activeElement.localName === "select" || document.activeElement.value.endsWith("j?")))) problems.push(`${name}: keys act in a field`);
}

// Each key that a page shows, in its footer or in its list, does something there.
// Requests are noted and get no answer, so that the page stays.
const asked = [];
let still = false;
await page.route("**", (r) => {
  if (!still) return r.continue();
  asked.push(r.request().url());
  return r.fulfill({ status: 204 });
});
const shown = () => page.evaluate(() => [...document.querySelectorAll("#hints [data-keys]:not([hidden]) kbd, #keys [data-keys]:not([hidden]) kbd")].map((k) => k.textContent));
const state = () => page.evaluate(async () => [document.activeElement === document.body ? "" : document.activeElement.outerHTML, await navigator.clipboard.readText()].join());
for (const [name, to] of Object.entries(pages)) {
  await go(to);
  await page.keyboard.press("?");
  const keys = new Set(await shown());
  for (const key of ["/", ...(must[name] ?? "")]) if (!keys.has(key)) problems.push(`${name}: ${key} is not shown: ${[...keys].join(" ")}`);
  for (const key of keys) {
    if ("[]".includes(key)) continue; // one of them has a page; see below
    await go(to);
    await page.evaluate(() => navigator.clipboard.writeText("nothing"));
    if (key === "k" || key === "Enter") await page.keyboard.press("j");
    if (key === "k") await page.keyboard.press("j");
    const before = await state();
    asked.length = 0;
    still = true;
    await page.keyboard.press(key);
    for (let i = 0; i < 60 && asked.length === 0 && (await state()) === before; i++) {
      if (i === 59) problems.push(`${name}: ${key} is shown and does nothing`);
      await page.evaluate(() => new Promise(requestAnimationFrame));
    }
    still = false;
  }
}
await page.unroute("**");

// Keys of one page.
if (pages.live) {
for (const [key, want] of Object.entries({ s: /^\/search/, w: /^\/whatif/, a: /^\/audit/, r: /^\/reports/, y: /^\/system/, l: /^\/live/ })) {
  await go(key === "l" ? pages.message : pages.live);
  await leads("g", ["g", key], want);
}
await go("/live");
await leads("live", ["p"], /follow=0/);
await leads("live", ["p"], /^(?!.*follow=0)/);
await go(pages.live);
await leads("live", ["j", "Enter"], /^\/v\/.{8}\?q=/);
await leads("a message of Live", ["]"], /^\/v\/.{8}\?q=/);
await go(pages.search);
await leads("search", ["]"], /after=/);
await leads("search", ["["], /^(?!.*after=)/);
await go(pages.search);
await leads("search", ["j", "j", "Enter"], /^\/v\//);
const second = await path();
await leads("message", ["]"], new RegExp("^/v/(?!" + second.slice(3, 11) + ")"));
const third = await path();
await leads("message", ["["], new RegExp("^/v/" + second.slice(3, 11)));
if (third === second) problems.push("] stays at " + second);
await go(pages.message);
await copies("message", "c", "Reference ");
await leads("message", ["r"], /dns=now/);
await leads("message", ["e"], /^\/whatif/);
await go(pages.audit);
await copies("audit", "y", "v=spf1");
for (const [key, want] of Object.entries({ 1: /since=24h/, 7: /since=7d/, 3: /since=30d/ })) {
  await go(pages.whatif);
  await leads("whatif", [key], want);
}

// The arrow keys go from one hour of the chart to the next, and Enter narrows the search to it.
await go(pages.search);
const bars = page.locator(".histogram a");
const bar = () => page.evaluate(() => [...document.querySelectorAll(".histogram a")].indexOf(document.activeElement));
await bars.first().focus();
for (const [key, want] of [["ArrowRight", 1], ["ArrowRight", 2], ["ArrowLeft", 1], ["ArrowLeft", 0], ["ArrowLeft", 0]]) {
  await page.keyboard.press(key);
  if ((await bar()) !== want) problems.push(`search: ${key} leads to bar ${await bar()}, not ${want}`);
}
await leads("search", ["Enter"], /since%3A/);

// One switch turns them off, on all pages, until it is used again; the list stays within reach.
await go(pages.live);
const turn = async () => {
  await page.click("#keys-open");
  await page.getByLabel("Use single keys").click();
  await page.keyboard.press("Escape");
};
await turn();
for (const to of [pages.live, pages.search]) {
  await go(to);
  for (const k of ["j", "?", "g", "s", "p"]) await page.keyboard.press(k);
  if ((await focus()) || (await listed()) || (await path()) !== to) problems.push(`the keys are off, and act on ${to}: ${await focus()} ${await path()}`);
}
await turn();
await go(pages.live);
await page.keyboard.press("j");
if (!(await focus())) problems.push("the keys do not come back");
}
await browser.close();
console.log(JSON.stringify(problems));
