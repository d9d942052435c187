// Goes through each page with Tab, presses each button with Enter and with Space, and says which does nothing: no
// request, no other text, address or focus, nothing on the clipboard. Requests are noted and get no answer, so that a page
// stays as it is. Run by TestBrowserButtons: node buttons.mjs URL CHROMIUM, with {pages: [{name, path}]} on stdin.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.env.POSTSEAL_NODE_MODULES + "/");
const { chromium } = require("playwright-core");
const [url, executablePath] = process.argv.slice(2);
const { pages } = JSON.parse(readFileSync(0, "utf8"));
const problems = [];
const seen = {}; // labels of the buttons of each page
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });

const buttons = "button, a.btn, summary, .seg a, .tops a[aria-current], [data-key]:not(option)";

// state is what pressing a button can change.
const state = (page) => page.evaluate(async () => [
  location.href, document.body.innerText, document.querySelectorAll("details[open], dialog[open]").length, document.activeElement?.id,
  await navigator.clipboard.readText()].join("\n"));

async function press(page, asked, key) {
  await page.evaluate(() => navigator.clipboard.writeText("nothing"));
  const before = await state(page);
  asked.length = 0;
  await page.keyboard.press(key);
  for (let i = 0; i < 40; i++) {
    if (asked.length > 0) return asked[0];
    const now = await state(page);
    if (now !== before) return "changed";
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  return "";
}

async function walk(p) {
  const page = await context.newPage();
  page.setDefaultTimeout(10000);
  page.on("pageerror", (e) => problems.push(`${p.name}: error: ${e.message}`));
  const asked = [];
  let still = false;
  await page.route("**", (r) => {
    if (!still && !/\/v1\//.test(r.request().url())) return r.continue();
    if (still) asked.push(`${r.request().method()} ${r.request().url().slice(url.length)}`);
    return r.fulfill({ status: 204 });
  });
  await page.goto(url + p.path, { waitUntil: "load" });
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))); // after autofocus
  await page.evaluate(() => {
    for (const e of document.querySelectorAll("input[required]:not([type=file]), textarea[required]")) e.value ||= "x.test";
  });
  for (const f of await page.locator("input[type=file]").all()) await f.setInputFiles({ name: "x.xml", mimeType: "text/xml", buffer: Buffer.from("x") });
  still = true;
  await page.evaluate((buttons) => {
    document.activeElement?.blur();
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute("tabindex");
    window.wanted = new Set([...document.querySelectorAll(buttons)].filter((e) => !e.disabled && e.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true })));
  }, buttons);
  const done = new Set();
  seen[p.name] = [];
  for (let steps = 0; steps < 600; steps++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      if (e === document.body) return null;
      window.order ??= new Map();
      if (!window.order.has(e)) window.order.set(e, window.order.size);
      const is = window.wanted.delete(e) || (e.matches("button") && e.checkVisibility());
      return { n: window.order.get(e), is, kind: e.localName, label: e.getAttribute("aria-label") || e.textContent.trim().slice(0, 50) };
    });
    if (!at) break;
    if (!at.is || done.has(at.n)) continue;
    done.add(at.n);
    seen[p.name].push(at.label);
    for (const key of at.kind === "a" ? ["Enter"] : ["Enter", "Space"]) {
      if (!(await press(page, asked, key))) problems.push(`${p.name}: ${key} on ${at.kind} "${at.label}" does nothing`);
      if (await page.locator("dialog[open]").count()) await page.keyboard.press("Escape");
      if (at.kind === "summary" && key === "Space") await page.keyboard.press("Enter"); // open, for what is in it
    }
    await page.evaluate((n) => [...window.order].find(([, k]) => k === n)[0].focus(), at.n);
  }
  for (const left of await page.evaluate(() => [...window.wanted].filter((e) => e.isConnected && e.checkVisibility()).map((e) => e.textContent.trim().slice(0, 50)))) problems.push(`${p.name}: Tab does not reach "${left}"`);
  await page.close();
}

const queue = [...pages];
for (let p = queue.shift(); p; p = queue.shift()) await walk(p);
await browser.close();
console.log(JSON.stringify({ problems, seen }));
