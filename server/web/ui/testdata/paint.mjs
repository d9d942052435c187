// Measures the first view of a page on a phone: 390 px, a processor four times slower, 150 ms to the
// server, 1.6 Mbit/s. Run by TestFirstPaint: node paint.mjs URL CHROMIUM.
import { createRequire } from "node:module";

const require = createRequire(process.env.POSTSEAL_NODE_MODULES + "/");
const { chromium } = require("playwright-core");
const [url, executablePath] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const times = [];
let bytes = 0;
let requests = 0;
for (let i = 0; i < 9; i++) {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 });
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  bytes = requests = 0;
  session.on("Network.loadingFinished", (e) => {
    bytes += e.encodedDataLength;
    requests++;
  });
  await session.send("Network.enable");
  await session.send("Network.emulateNetworkConditions", { offline: false, latency: 150, downloadThroughput: 1.6e6 / 8, uploadThroughput: 0.75e6 / 8 });
  await session.send("Emulation.setCPUThrottlingRate", { rate: 4 });
  await page.goto(url, { waitUntil: "load" });
  times.push(await page.evaluate(() => new Promise((done) => new PerformanceObserver((list) => {
    for (const e of list.getEntries()) if (e.name === "first-contentful-paint") done(e.startTime);
  }).observe({ type: "paint", buffered: true }))));
  await context.close();
}
await browser.close();
times.sort((a, b) => a - b);
console.log(JSON.stringify({ median: Math.round(times[4]), least: Math.round(times[0]), most: Math.round(times[8]), bytes, requests }));
