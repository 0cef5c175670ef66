// The status page in Chromium: the numbers on it are those of `stagectl --output json`, it renews itself, and pictures of it are taken to be looked at.
//
//   node browser.mjs still|moving|hung|overseen MODULES STATUS_SOCKET API_SOCKET STAGECTL PICTURES
//
// Chromium speaks TCP, so a port of the loopback device leads to the daemon's socket, as `ssh -L` does for an operator.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";

const [part, modules, statusSocket, apiSocket, stagectl, pictures] = process.argv.slice(2);
const { chromium } = createRequire(path.join(modules, "here.js"))("playwright-core");
fs.mkdirSync(pictures, { recursive: true });

// Whose things are looked at, if not one's own.
const whose = part === "overseen" ? ["--tenant", "device:sim-0"] : [];
const api = (...words) =>
  JSON.parse(execFileSync(stagectl, ["--endpoint", `unix:${apiSocket}`, "--output", "json", ...whose, ...words], { encoding: "utf8", maxBuffer: 1 << 28 }));

function forwarder() {
  const open = new Set();
  const server = net.createServer((near) => {
    const far = net.connect(statusSocket);
    for (const [one, other] of [[near, far], [far, near]]) {
      open.add(one);
      one.on("close", () => { open.delete(one); other.destroy(); });
      one.on("error", () => other.destroy());
      one.pipe(other);
    }
  });
  return new Promise((ready) => server.listen(0, "127.0.0.1", () => ready({
    port: server.address().port,
    cut() { server.close(); for (const socket of open) socket.destroy(); },
  })));
}

async function browser(options) {
  const own = fs.mkdtempSync(path.join(os.tmpdir(), "status-"));
  const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
  const context = await chromium.launchPersistentContext(own, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args, viewport: { width: 1180, height: 900 }, ...options,
  });
  const page = context.pages()[0] ?? await context.newPage();
  const trouble = [];
  page.on("console", (message) => { if (message.type() === "error") trouble.push(message.text()); });
  page.on("pageerror", (error) => trouble.push(String(error)));
  return {
    page, trouble,
    async close() { await context.close(); fs.rmSync(own, { recursive: true, force: true }); },
  };
}

const picture = (page, name) => page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });

// What is on the page, from the DOM. Asked through the browser, so it works without scripts too.
async function numbers(page) {
  const found = await page.locator("[data-api]").evaluateAll((all) => all.map((it) => ({
    api: it.dataset.api, unit: it.dataset.unit ?? "", value: it.getAttribute("value"), shown: it.textContent,
  })));
  assert.ok(found.length > 0, "no numbers");
  return found;
}

function sized(text) {
  const [number, unit] = text.split(" ");
  const power = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].indexOf(unit);
  return { bytes: Number(number) * 1024 ** power, step: 1024 ** power };
}

// Where stagectl has it.
function said(key) {
  const [kind, ...rest] = key.split(":");
  const field = rest.at(-1), name = rest.slice(0, -1).join(":");
  const at = (document, way) => way.split(".").reduce((it, step) => it?.[step], document);
  switch (kind) {
    case "node": return at(api("node"), field);
    case "platform": return at(api("node").platforms.find((it) => it.platform === name), field);
    case "launch": return at(api("launch", "get", name), field);
    case "image": return api("image", "list").images.find((it) => it.name === `images/${name}`)?.size;
    case "pages": return api("launch", "pages", name).runs
      .filter((run) => run.page_type.toLowerCase() === field).reduce((sum, run) => sum + run.pages, 0);
    default: throw new Error(`what is ${key}?`);
  }
}

async function equalsApi(page) {
  const compared = new Set();
  for (const { api: key, unit, value, shown } of await numbers(page)) {
    const told = said(key);
    assert.notEqual(told, undefined, `${key} is not in the API`);
    if (key.endsWith("expected_seconds")) {
      // A forecast from now on, and the API was asked at another moment.
      assert.ok(Math.abs(Number(told) - Number(value)) < 1, `${key}: ${value}, and later ${told}`);
    } else {
      assert.equal(Number(value), Number(told), key);
    }
    if (unit === "bytes") {
      const { bytes, step } = sized(shown);
      assert.ok(bytes <= told && told < bytes + step, `${key}: ${shown} is not ${told}`);
    } else if (unit !== "seconds") {
      assert.equal(shown.replaceAll(",", ""), String(told), key);
    }
    compared.add(key);
  }
  return compared.size;
}

async function still(url) {
  for (const [name, options] of [
    ["scripts", {}],
    ["no-scripts", { javaScriptEnabled: false }],
    ["dark", { colorScheme: "dark" }],
    ["narrow", { viewport: { width: 400, height: 850 } }],
  ]) {
    const { page, trouble, close } = await browser(options);
    for (const [place, title] of [["", "overview"], ["launches/checkout-7f9c", "launch"]]) {
      const answer = await page.goto(url + place);
      assert.equal(answer.status(), 200);
      const count = await equalsApi(page);
      console.log(`${name} ${title}: ${count} numbers equal those of the API`);
      assert.ok(count >= (title === "overview" ? 20 : 6), `only ${count}`);
      const progress = page.locator("progress").first();
      assert.equal(await progress.getAttribute("aria-label") !== null, true);
      // Nothing is wider than the window.
      if (name !== "no-scripts") {
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${name} ${title} is ${wide} px too wide`);
      }
      await picture(page, `${title}-${name}`);
    }
    assert.equal(await page.locator("main script, main img, main b").count(), 0);
    const refused = await page.goto(url + "launches/none-such");
    assert.equal(refused.status(), 404);
    if (name === "scripts") await picture(page, "missing");
    // Chromium itself tells of the 404 that was asked for.
    assert.deepEqual(trouble.filter((it) => !it.includes("404")), []);
    await close();
  }
}

async function moving(url, cut) {
  const { page, trouble, close } = await browser({});
  await page.goto(url);
  await page.evaluate(() => { window.notReloaded = true; });
  const installed = () => page.locator('[data-api="launch:moving-1:installed_pages"]').first().getAttribute("value").then(Number);
  await page.locator("#limits-all > summary").click();
  await page.locator("#limits-all > summary").focus();
  const seen = [await installed()];
  for (let nth = 0; nth < 3; nth++) {
    const before = seen.at(-1);
    await page.waitForFunction((before) => {
      const it = document.querySelector('[data-api="launch:moving-1:installed_pages"]');
      return Number(it.getAttribute("value")) > before;
    }, before, { timeout: 60000 });
    const bar = await page.getByRole("progressbar", { name: "installed pages of moving-1" }).evaluate((it) => it.value);
    const now = await installed();
    assert.ok(bar >= before && bar <= now, `${before} ${bar} ${now}`);
    seen.push(now);
  }
  assert.equal(await page.evaluate(() => window.notReloaded), true, "the page was loaded again");
  assert.equal(await page.locator("#limits-all").evaluate((it) => it.open), true, "what was open was closed");
  assert.equal(await page.evaluate(() => document.activeElement?.parentElement?.id), "limits-all", "the focus was lost");
  assert.equal(await page.locator("#live-state").textContent(), "Live");
  console.log(`moving: installed pages went ${seen.join(", ")} without a reload`);
  const queue = await page.locator("#queue tbody th").allTextContents();
  // The one that stands still keeps its place too.
  assert.deepEqual(queue.filter((id) => id.startsWith("moving")), ["moving-1", "moving-2", "moving-3"]);
  await page.locator("#limits-all > summary").click();
  await picture(page, "moving");
  await page.goto(url + "launches/moving-1");
  await page.waitForFunction(() => document.querySelectorAll("svg.map path").length > 1, null, { timeout: 60000 });
  await picture(page, "moving-launch");
  assert.deepEqual(trouble, []);
  // The way to the daemon is cut: the page says so, and keeps what it has.
  await page.goto(url);
  cut();
  await page.waitForFunction(() => document.getElementById("live-state").textContent.includes("does not answer"), null, { timeout: 60000 });
  assert.ok(await page.locator("#launches tbody tr").count() > 0);
  await picture(page, "away");
  await close();
}

async function hung(url) {
  const { page, close } = await browser({});
  const answer = await page.goto(url + "launches/checkout-7f9c");
  assert.equal(answer.status(), 200);
  const map = await page.locator("#map").textContent();
  assert.match(map, /did not answer in time/);
  await picture(page, "hung");
  await close();
}

// Somebody who oversees finds a device's launch from the first page on, and stays with that tenant wherever it goes.
async function overseen(url) {
  const { page, trouble, close } = await browser({});
  await page.goto(url);
  assert.equal(await page.locator("#launches tbody tr").count(), 0);
  await page.locator("#tenants a", { hasText: "device:sim-0" }).click();
  await page.waitForURL("**/?tenant=device%3Asim-0");
  assert.match(await page.locator("#named").textContent(), /tenant device:sim-0/);
  assert.ok(await equalsApi(page) >= 20);
  await picture(page, "overseen");
  await page.locator("#launches tbody a").first().click();
  await page.waitForURL("**/launches/workload?tenant=device%3Asim-0");
  assert.ok(await equalsApi(page) >= 6);
  // It renews itself as what it is.
  const renewed = await page.waitForResponse((answer) => answer.url().endsWith("/data/launches/workload?tenant=device%3Asim-0"), { timeout: 60000 });
  assert.equal(renewed.status(), 200);
  await page.locator(".back a").click();
  await page.waitForURL("**/?tenant=device%3Asim-0");
  await page.locator("#named a").click();
  await page.waitForURL(url);
  assert.deepEqual(trouble, []);
  const wrong = await page.goto(url + "?tenant=Blue");
  assert.equal(wrong.status(), 400);
  await close();
}

const { port, cut } = await forwarder();
const url = `http://localhost:${port}/`;
await { still, moving, hung, overseen }[part](url, cut);
cut();
process.exit(0);
