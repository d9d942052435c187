// Opens each page of the console in a real browser and says what is wrong: requests to other
// origins, messages on the console, findings of axe, sideways scroll, what differs without
// scripts, after a reload and on the way back. Run by TestBrowserChecks: node check.mjs URL DIR
// CHROMIUM, with the plan on stdin.
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
];

// text is what main says. Buttons that scripts show, and what follows a stream, are left out.
const text = async (page) => (await page.locator("main").innerText()).replace(/\s+/g, " ").replace(/\b(Copy for the postmaster|Copy|Share)\b ?/g, "").replace(/following|not connected, trying again|follows every 10 seconds/g, "").trim();

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

async function look(p) {
  const page = await scripts.newPage();
  const bad = watch(page, p.name);
  if (p.runs) await page.route(/\/v1\//, (r) => r.fulfill({ status: 204 })); // nothing happens while it is looked at
  await page.goto(url + p.path, { waitUntil: "load" });
  if (p.runs) await page.route("**", (r) => r.fulfill({ status: 204 })); // nor is the page loaded again
  const said = await text(page);
  if (p.says && !said.includes(p.says)) bad(`does not say ${p.says}, but ${said}`);
  await page.evaluate(axe);
  for (const form of forms) {
    if (p.brief && (form.name === "dark" || form.name === "phone")) continue; // a state of a page whose data are looked at in all forms
    await page.emulateMedia({ colorScheme: form.colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize({ width: form.width, height: 900 });
    const found = await page.evaluate((runOnly) => axe.run(document, { runOnly, resultTypes: ["violations"] }), form.runOnly);
    for (const v of found.violations) bad(`${form.name}: axe ${v.id}: ${v.nodes.map((n) => n.target.join(" ")).slice(0, 3).join(", ")}`);
    const size = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, h1: document.querySelectorAll("h1").length }));
    if (size.wide > form.width) bad(`${form.name}: scrolls sideways: ${size.wide} px`);
    if (size.h1 !== 1) bad(`${size.h1} h1`);
    if (p.picture || process.env.POSTSEAL_FULL) await picture(page, `${dir}/${p.name}-${form.name}.png`);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  if (!p.brief) {
    await page.reload({ waitUntil: "load" });
    if ((await text(page)) !== said) bad("reload shows something else: " + (await text(page)));
    await page.goto("about:blank");
    await page.goBack({ waitUntil: "load" });
    if ((await text(page)) !== said) bad("back shows something else: " + (await text(page)));
  }
  await page.close();
  const still = await plain.newPage();
  await still.goto(url + p.path, { waitUntil: "load" });
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
await focused();
const before = await page.locator("main").innerText();
await page.evaluate(() => document.activeElement?.blur());
await page.keyboard.press("j");
await page.keyboard.press("j");
const href = await page.evaluate(() => document.activeElement?.getAttribute("href"));
if (!href?.startsWith("/v/")) bad(`j does not move to a message: ${href}`);
else {
  await page.keyboard.press("Enter");
  await page.waitForURL("**" + href);
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
