// Opens each page of the console in a real browser and says what is wrong: requests to other
// origins, messages on the console, findings of axe, sideways scroll, and what differs without
// scripts. Run by TestBrowser: node check.mjs URL DIR CHROMIUM, with the plan on stdin.
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

const forms = [
  { name: "light", width: 1280, colorScheme: "light" },
  { name: "dark", width: 1280, colorScheme: "dark" },
  { name: "phone", width: 390, colorScheme: "light" },
  { name: "phone-dark", width: 390, colorScheme: "dark" },
];
for (const form of forms) {
  const context = await browser.newContext({ viewport: { width: form.width, height: 900 }, colorScheme: form.colorScheme, reducedMotion: "reduce", locale: "en-GB", timezoneId: "UTC" });
  for (const p of plan.pages) {
    const page = await context.newPage();
    const bad = watch(page, `${p.name} ${form.name}`);
    await page.goto(url + p.path, { waitUntil: "load" });
    await page.evaluate(axe);
    const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
    for (const v of found.violations) bad(`axe ${v.id}: ${v.nodes.map((n) => n.target.join(" ")).slice(0, 3).join(", ")}`);
    const size = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, h1: document.querySelectorAll("h1").length }));
    if (size.wide > form.width) bad(`scrolls sideways: ${size.wide} px`);
    if (size.h1 !== 1) bad(`${size.h1} h1`);
    await page.screenshot({ path: `${dir}/${p.name}-${form.name}.png`, fullPage: form.width === 390 });
    await page.close();
  }
  await context.close();
}

// Without scripts each page says the same.
const texts = async (javaScriptEnabled) => {
  const context = await browser.newContext({ javaScriptEnabled, viewport: { width: 1280, height: 900 } });
  const all = {};
  for (const p of plan.pages) {
    const page = await context.newPage();
    await page.goto(url + p.path, { waitUntil: "load" });
    all[p.name] = (await page.locator("main").innerText()).replace(/\s+/g, " ").replace(/\b(Copy for the postmaster|Copy|Share)\b ?/g, "").replace(/following|not connected, trying again|follows every 10 seconds/g, "").trim();
    await page.close();
  }
  await context.close();
  return all;
};
const scripted = await texts(true), plain = await texts(false);
for (const p of plan.pages) if (scripted[p.name] !== plain[p.name]) problems.push(`${p.name}: says something else without scripts\n${scripted[p.name]}\n${plain[p.name]}`);

if (plan.keyboard) {
// By keyboard alone: find a rejected message, open it, go back to the same row; reload shows the same.
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
const page = await context.newPage();
const bad = watch(page, "keyboard");
await page.goto(url + "/live?follow=0");
await page.keyboard.press("g");
await page.keyboard.press("s");
await page.waitForURL("**/search");
await page.keyboard.type(plan.search); // the field has the focus
await page.keyboard.press("Enter");
await page.waitForURL("**/search?q=*");
const before = await page.locator("main").innerText();
await page.evaluate(() => document.activeElement?.blur());
await page.keyboard.press("j");
await page.keyboard.press("j");
const href = await page.evaluate(() => document.activeElement?.getAttribute("href"));
if (!href?.startsWith("/v/")) bad(`j does not move to a message: ${href}`);
else {
  await page.keyboard.press("Enter");
  await page.waitForURL("**" + href);
  await page.goBack();
  await page.waitForURL("**/search?q=*");
}
if ((await page.locator("main").innerText()) !== before) bad("back shows something else");
await page.reload();
if ((await page.locator("main").innerText()) !== before) bad("reload shows something else");
await page.keyboard.press("Escape");
await page.evaluate(() => document.activeElement?.blur());
await page.keyboard.press("?");
if (!(await page.locator("#keys").isVisible())) bad("? does not list the keys");
await context.close();
}
await browser.close();
console.log(JSON.stringify(problems));
