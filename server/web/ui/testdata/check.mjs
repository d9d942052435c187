// Opens each page of the console in a real browser and says what is wrong: requests to other
// origins, messages on the console, findings of axe, sideways scroll, what differs without
// scripts, after a reload, on the way back and in a new tab, and what Tab does not reach in the
// order of reading. Run by TestBrowserChecks: node check.mjs URL DIR CHROMIUM, with the plan on stdin.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.env.POSTSEAL_NODE_MODULES + "/");
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [url, dir, executablePath] = process.argv.slice(2);
const plan = JSON.parse(readFileSync(0, "utf8"));
const problems = [];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });

function watch(page, name) {
  const bad = (text) => problems.push(`${name}: ${text}`);
  page.on("console", (m) => {
    if (m.location().url === page.url() && m.text().startsWith("Failed to load resource")) return; // the status of the page itself, which the browser notes
    bad("console: " + m.text());
  });
  page.on("pageerror", (e) => bad("error: " + e.message));
  page.on("request", (r) => {
    if (!r.url().startsWith(url) && !r.url().startsWith("data:")) bad("request to " + r.url());
  });
  return bad;
}

// Light or dark changes nothing but colors, so the dark forms are only asked for their contrast.
const all = { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
const colors = { type: "rule", values: ["color-contrast", "link-in-text-block"] };
const forms = [
  { name: "light", width: 1280, colorScheme: "light", runOnly: all },
  { name: "dark", width: 1280, colorScheme: "dark", runOnly: colors },
  { name: "phone-dark", width: 390, colorScheme: "dark", runOnly: colors },
  { name: "phone", width: 390, colorScheme: "light", runOnly: all },
  { name: "forced", width: 1280, colorScheme: "dark", forcedColors: "active" }, // high contrast, of some pages: the colors are the system's, which axe does not see
];

// text is what main says. Buttons that scripts show, and what follows a stream, are left out.
const text = async (page) => (await page.locator("main").innerText()).replace(/\s+/g, " ").replace(/\b(Copy for the postmaster|Copy|Share)\b ?/g, "").replace(/following|not connected, trying again|follows every 10 seconds/g, "").trim();

// dom is main as the browser holds it; what follows a stream says how it is connected.
const dom = (page) => page.evaluate(() => {
  const main = document.querySelector("main").cloneNode(true);
  main.querySelector("#following")?.replaceChildren();
  return main.outerHTML;
});

// enter opens a page and, if it has fields to fill in, sends its form.
async function enter(page, p) {
  await page.goto(url + p.path, { waitUntil: "load" });
  if (!p.fill) return;
  for (const [field, value] of Object.entries(p.fill)) await page.fill(field, value);
  await Promise.all([page.waitForEvent("load"), page.locator("main form button").first().press("Enter")]);
}

const scripts = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light", reducedMotion: "reduce", locale: "en-GB", timezoneId: "UTC" });
const plain = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1280, height: 900 }, locale: "en-GB", timezoneId: "UTC" });

// picture draws a page until it is drawn twice in the same way: after another size, a frame can be of the
// page as it was.
async function picture(page, path) {
  await page.evaluate(() => scrollTo(0, 0));
  let last;
  for (let i = 0; i < 5; i++) {
    const now = await page.screenshot({ path, fullPage: !!process.env.POSTSEAL_FULL });
    if (last?.equals(now)) return;
    last = now;
  }
}

// The widths of a window of 1280 px that is zoomed to 200 and 400 % (WCAG 1.4.10).
const zoomed = [640, 320];

// again compares a page with itself: after a reload, on the way back, and pasted into another tab.
async function again(page, bad) {
  const address = page.url();
  await page.reload({ waitUntil: "load" });
  const first = await dom(page);
  const same = async (other, how) => {
    const now = await dom(other);
    if (now === first) return;
    let i = 0;
    while (now[i] === first[i]) i++;
    bad(`${how} shows something else: ${now.slice(Math.max(0, i - 40), i + 80)} instead of ${first.slice(Math.max(0, i - 40), i + 80)}`);
  };
  await page.reload({ waitUntil: "load" });
  await same(page, "reload");
  await page.goto("about:blank");
  await page.goBack({ waitUntil: "load" });
  await same(page, "back");
  const tab = await scripts.newPage();
  await tab.goto(address, { waitUntil: "load" });
  await same(tab, "the address in another tab");
  await tab.close();
}

// walk goes through a page with Tab alone: each thing that can be used is reached once, can be seen with a
// ring around it, and is not above the one before it, in a wide window and on a phone. The first is the
// link that skips what is above the content.
async function walk(p) {
  const page = await scripts.newPage();
  const bad = watch(page, p.name + ", by keyboard");
  if (p.runs) await page.route(/\/v1\//, (r) => r.fulfill({ status: 204 }));
  await enter(page, p);
  const start = () => page.evaluate(async () => {
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))); // after autofocus
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute("tabindex");
    scrollTo(0, 0);
  });
  const wanted = await page.evaluate(() => {
    const usable = (e) => !e.disabled && e.type !== "hidden" && e.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true });
    window.usable = [...document.querySelectorAll("a[href], button, input, select, textarea, summary")].filter(usable);
    return window.usable.map((e) => `${e.localName} ${(e.textContent.trim() || e.name || e.id).slice(0, 40)}`);
  });
  await start();
  const order = [];
  while (order.length < wanted.length) {
    await page.keyboard.press("Tab");
    const now = await page.evaluate(() => {
      const e = document.activeElement;
      const box = e.getClientRects()[0] ?? new DOMRect();
      const over = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
      const style = getComputedStyle(e);
      return { i: window.usable.indexOf(e), within: e.type === "date", name: `${e.localName} ${e.textContent.trim().slice(0, 40)}`, seen: e.contains(over) || !!over?.closest("label")?.contains(e), ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 };
    });
    if (now.within && now.i === order.at(-1)) continue; // the next part of a date
    if (now.i < 0 || order.includes(now.i)) {
      bad(`Tab goes from ${wanted[order.at(-1)]} to ${now.name}, and not to ${wanted.filter((_, i) => !order.includes(i)).slice(0, 3).join(", ")}`);
      return page.close();
    }
    order.push(now.i);
    if (!now.seen) bad(`${now.name} cannot be seen when it has the focus`);
    if (!now.ring) bad(`${now.name} has no ring when it has the focus`);
  }
  await page.keyboard.press("Tab");
  const left = await page.evaluate((last) => document.activeElement !== window.usable[last], order.at(-1));
  if (!left) bad("Tab does not leave the page");
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 900 });
    const up = await page.evaluate((order) => {
      const list = order.map((i) => window.usable[i]).filter((e) => e.closest("main") && e.checkVisibility()).map((e) => ({ e, box: e.getClientRects()[0] }));
      const k = list.findIndex(({ box }, i) => i > 0 && box.bottom <= list[i - 1].box.top + 1 && box.left < list[i - 1].box.right);
      return k > 0 && `${list[k].e.textContent.trim().slice(0, 40)} after ${list[k - 1].e.textContent.trim().slice(0, 40)}`;
    }, width === 1280 ? order : order.toSorted((a, b) => a - b)); // a phone has one column, in the order of the page
    if (up) bad(`${width} px: Tab goes up: ${up}`);
  }
  if (await page.locator(".skip").count()) {
    await page.setViewportSize({ width: 1280, height: 900 });
    await start();
    for (const key of ["Tab", "Enter", "Tab"]) await page.keyboard.press(key);
    const skipped = await page.evaluate(() => !document.activeElement.closest("header, .skip"));
    if (!skipped) bad("the link to the content does not skip the header");
  }
  await page.close();
}

async function look(p) {
  const page = await scripts.newPage();
  const bad = watch(page, p.name);
  if (p.runs) await page.route(/\/v1\//, (r) => r.fulfill({ status: 204 })); // nothing happens while it is looked at
  await enter(page, p);
  if (p.runs) await page.route("**", (r) => r.fulfill({ status: 204 })); // nor is the page loaded again
  const said = await text(page);
  if (p.says && !said.includes(p.says)) bad(`does not say ${p.says}, but ${said}`);
  await page.evaluate(axe);
  for (const form of p.alike ? [] : forms) {
    if (p.brief && (form.name === "dark" || form.name === "phone")) continue; // a state of a page whose data are looked at in all forms
    if (form.forcedColors && !p.forced) continue;
    await page.emulateMedia({ colorScheme: form.colorScheme, reducedMotion: "reduce", forcedColors: form.forcedColors ?? "none" });
    await page.setViewportSize({ width: form.width, height: 900 });
    const found = form.forcedColors ? { violations: [] } : await page.evaluate((runOnly) => axe.run(document, { runOnly, resultTypes: ["violations"] }), form.runOnly);
    for (const v of found.violations) bad(`${form.name}: axe ${v.id}: ${v.nodes.map((n) => n.target.join(" ")).slice(0, 3).join(", ")}`);
    const size = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, h1: document.querySelectorAll("h1").length }));
    if (size.wide > form.width) bad(`${form.name}: scrolls sideways: ${size.wide} px`);
    if (size.h1 !== 1) bad(`${size.h1} h1`);
    if (p.picture || process.env.POSTSEAL_FULL) await picture(page, `${dir}/${p.name}-${form.name}.png`);
  }
  await page.emulateMedia({ forcedColors: "none" });
  for (const width of zoomed) {
    await page.setViewportSize({ width, height: 450 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide > width) bad(`scrolls sideways at ${width} px: ${wide} px`);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  if (!p.brief) await again(page, bad);
  await page.close();
  if (!p.brief || p.fill) await walk(p);
  const still = await plain.newPage();
  await enter(still, p);
  const unscripted = await text(still);
  if (unscripted !== said) bad(`says something else without scripts\n${said}\n${unscripted}`);
  await still.close();
}

const queue = [...plan.pages];
await Promise.all([0, 1].map(async () => {
  for (let p = queue.shift(); p; p = queue.shift()) await look(p);
}));
await scripts.close();
await plain.close();

if (plan.keyboard) {
// By keyboard alone: find a rejected message, open it, go back to the same row; reload shows the same.
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
const page = await context.newPage();
const bad = watch(page, "keyboard");
await page.goto(url + "/live?follow=0");
await page.keyboard.press("g");
await page.keyboard.press("s");
await page.waitForURL("**/search");
const focused = () => page.waitForFunction(() => document.activeElement?.id === "q"); // the browser does so after the page is loaded
await focused();
await page.keyboard.type(plan.search); // the field has the focus
await page.keyboard.press("Enter");
await page.waitForURL("**/search?q=*");
await page.waitForLoadState();
const before = await page.locator("main").innerText();
await page.evaluate(() => document.activeElement?.blur());
await page.keyboard.press("j");
await page.keyboard.press("j");
const href = await page.evaluate(() => document.activeElement?.getAttribute("href"));
if (!href?.startsWith("/v/")) bad(`j does not move to a message: ${href}`);
else {
  await page.keyboard.press("Enter");
  await page.waitForURL((u) => u.href.endsWith(href));
  await page.keyboard.press("j");
  if (await page.evaluate(() => document.activeElement?.tagName) !== "H2") bad("j does not move to a section of a message");
  await page.goBack();
  await page.waitForURL("**/search?q=*");
}
if ((await page.locator("main").innerText()) !== before) bad("back shows something else");
await page.reload();
if ((await page.locator("main").innerText()) !== before) bad("reload shows something else");
await page.keyboard.press("Escape");
await page.evaluate(() => document.activeElement?.blur());
if (!(await page.locator("#hints").isVisible())) bad("the keys of the page are not in the footer");
await page.keyboard.press("?");
if (!(await page.locator("#keys").isVisible())) bad("? does not list the keys");
await context.close();
}
await browser.close();
console.log(JSON.stringify(problems));
