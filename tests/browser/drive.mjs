// Drives a real browser through every page and flow. Run by tests/browser.rs, which starts the program and looks at
// the database; this file looks at the pages. It prints one line of JSON for each step, and ends with 1 at the first fault.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { execFileSync } from "node:child_process";

const [, , modules, base, token, link, database, yaml, shots] = process.argv;
const require = createRequire(path.join(modules, "index.js"));
const { chromium } = require("playwright-core");
const { AxeBuilder } = require("@axe-core/playwright");

const browser = await chromium.launch({ executablePath: process.env.OXIDE_TEST_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const faults = [];

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.on("console", (message) => { if (["error", "warning"].includes(message.type()) && !page.expectsFaults) faults.push(`${page.url()}: ${message.text()}`); });
  page.on("pageerror", (error) => faults.push(`${page.url()}: ${error.message}`));
  page.on("request", (request) => { if (!request.url().startsWith(base) && !request.url().startsWith("data:")) faults.push(`asked elsewhere: ${request.url()}`); });
  return page;
}
const sql = (text) => execFileSync("sqlite3", ["-cmd", ".timeout 5000", database, text], { encoding: "utf8" }).trim();
const shot = (page, name) => page.screenshot({ path: path.join(shots, `${name}.png`) });
async function logIn(page, name = "alice") {
  await page.goto(`${base}/login`);
  await page.getByLabel("Token").fill(token);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.waitForURL(`${base}/`);
  return page;
}
/** Waits for something that comes by itself, and fails when it takes a second or more. */
async function comesAlone(what, locator) {
  const began = performance.now();
  await locator.waitFor({ timeout: 1000 });
  console.log(JSON.stringify({ live: what, milliseconds: Math.round(performance.now() - began) }));
}
/** What axe finds on a page, and what does not fit its width. */
async function barriers(page, name) {
  const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]).analyze();
  const found = violations.map((it) => `${name}: ${it.id}: ${it.nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  return wide > 0 ? [...found, `${name} is ${wide} pixels too wide`] : found;
}
async function accessible(page, name) {
  assert.deepEqual(await barriers(page, name), []);
}

const steps = {
  async "a wrong token is refused and said so"() {
    const page = await open();
    page.expectsFaults = true;
    await page.goto(`${base}/drift`);
    await page.getByLabel("Token").fill("wrong");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("alert").waitFor();
    await shot(page, "login-wrong");
    await accessible(page, "login");
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.waitForURL(`${base}/drift`);
    await page.context().close();
  },
  async "the printed link lets one in once"() {
    const page = await open();
    page.expectsFaults = true;
    await page.goto(link);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.waitForURL(`${base}/`);
    const other = await open();
    other.expectsFaults = true;
    await other.goto(link);
    await other.getByRole("button", { name: "Log in" }).click();
    await other.getByRole("alert").waitFor();
    await page.context().close();
    await other.context().close();
  },
  async "in sync, and then a change of sqlite3 shows by itself"() {
    const page = await logIn(await open());
    await page.getByRole("heading", { name: "In sync" }).waitFor();
    await page.getByText("Live", { exact: true }).waitFor();
    await shot(page, "overview-in-sync");
    sql("UPDATE services SET enabled = 0 WHERE id = 'gemini'");
    await comesAlone("sqlite3", page.getByRole("heading", { name: "1 difference" }));
    const text = fs.readFileSync(yaml, "utf8");
    fs.writeFileSync(yaml, text.replace("timeout_seconds: 45", "timeout_seconds: 46"));
    await comesAlone("an editor", page.getByRole("link", { name: "revision 3" }));
    sql("UPDATE services SET max_retries = 9, base_url = 'http://10.0.0.9:1' WHERE id = 'openrouter'; UPDATE execution_settings SET timeout_seconds = 99");
    fs.writeFileSync(yaml, fs.readFileSync(yaml, "utf8").replace(/(execution:[^]*timeout_seconds:) 120/, "$1 150"));
    await comesAlone("both sides", page.getByRole("heading", { name: "1 conflict waits for you" }));
    await page.context().close();
  },
  async "every page in both themes and at phone width is accessible"() {
    const found = [];
    for (const [name, options] of [
      ["light", { colorScheme: "light" }],
      ["dark", { colorScheme: "dark" }],
      ["phone", { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }],
      ["phone-dark", { viewport: { width: 390, height: 844 }, colorScheme: "dark", isMobile: true }],
    ]) {
      const page = await logIn(await open(options));
      const places = ["/", "/drift", "/services", "/services/new", "/services/of/openrouter", "/services/of/openrouter/remove", "/rules", "/rules/of/quick_query", "/settings", "/history", "/history/1", "/history/1/restore", "/backups", "/activity", "/docs", "/sync", "/drift/answer?as=promote&path=services.gemini.enabled", "/drift/answer?as=keep&path=services.gemini.enabled"];
      for (const place of name === "phone-dark" ? places.slice(0, 2) : places) {
        await page.goto(base + place);
        await page.waitForLoadState("load");
        const file = place === "/" ? "overview" : place.slice(1).replace(/[^a-z0-9]+/gi, "-");
        await shot(page, `${name}-${file}`);
        found.push(...await barriers(page, `${place} (${name})`));
      }
      page.expectsFaults = true;
      await page.goto(`${base}/nowhere`);
      found.push(...await barriers(page, `a page that is not there (${name})`));
      await page.context().close();
    }
    assert.deepEqual(found, []);
  },
  async "each answer to drift is previewed, and then given"() {
    const page = await logIn(await open());
    await page.goto(`${base}/drift`);
    await page.getByRole("link", { name: /^Promote services.gemini.enabled/ }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("+    enabled: false").waitFor();
    await shot(page, "promote-preview");
    await accessible(page, "the preview");
    await page.keyboard.press("Escape");
    assert.ok(await page.getByRole("link", { name: /^Promote services.gemini.enabled/ }).evaluate((it) => it === document.activeElement), "the focus is back");
    await page.getByRole("link", { name: /^Promote services.gemini.enabled/ }).click();
    await dialog.getByRole("button", { name: "Write into the source" }).click();
    await page.getByText("Written into the source").waitFor();
    assert.match(fs.readFileSync(yaml, "utf8"), /gemini:[\s\S]{0,80}enabled: false/);
    await page.getByRole("link", { name: /^Revert services.openrouter.base_url/ }).click();
    await dialog.getByText("http://10.0.0.9:1").waitFor();
    await dialog.getByLabel("Why").fill("back to normal");
    await dialog.getByRole("button", { name: "Write into the database" }).click();
    await page.getByText(/recorded as revision/).waitFor();
    assert.notEqual(sql("SELECT base_url FROM services WHERE id = 'openrouter'"), "http://10.0.0.9:1");
    assert.equal(sql("SELECT reason || ' ' || actor FROM operator_revision ORDER BY id DESC LIMIT 1"), "back to normal alice");
    await page.getByRole("link", { name: /^Keep services.openrouter.max_retries/ }).click();
    await dialog.getByLabel("Why").fill("tried out");
    await dialog.getByLabel(/Until/).fill("7d");
    await dialog.getByRole("button", { name: "Keep it so" }).click();
    await page.getByText("Kept as the database has it").waitFor();
    await page.getByText(/accepted by alice/).waitFor();
    await page.getByRole("link", { name: /^Revert execution.timeout_seconds/ }).click();
    await dialog.getByRole("button", { name: "Write into the database" }).click();
    await page.getByText(/recorded as revision/).waitFor();
    assert.equal(sql("SELECT timeout_seconds FROM execution_settings"), "150");
    await page.context().close();
  },
  async "a service is added, validated while one types, edited, and removed; and each can be undone"() {
    const page = await logIn(await open());
    await page.goto(`${base}/services`);
    await page.getByRole("link", { name: "Add a service" }).click();
    await page.getByLabel("Name", { exact: true }).fill("claude");
    await page.getByLabel(/^Type/).selectOption("http");
    await page.getByText(/needs|requires|missing|base_url/).first().waitFor();
    await shot(page, "service-validated");
    await page.getByLabel("Base URL").fill("http://localhost:9");
    await page.getByLabel("API type").selectOption("openai_compatible");
    await page.getByLabel("API key", { exact: true }).fill("sk-browser-canary");
    await page.getByText("Saving writes:").waitFor();
    assert.ok(!(await page.content()).includes("sk-browser-canary"), "a key that is typed is not sent back");
    await page.getByRole("button", { name: "Add" }).click();
    await page.getByText(/recorded as revision/).waitFor();
    assert.ok(!(await page.content()).includes("sk-browser-canary"));
    assert.match(sql("SELECT api_key_encrypted FROM services WHERE id = 'claude'"), /^gAAAA/);
    await page.getByLabel("Default model").fill("big");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText(/recorded as revision/).waitFor();
    assert.equal(sql("SELECT default_model FROM services WHERE id = 'claude'"), "big");
    await page.getByRole("link", { name: "Undo…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Undo" }).click();
    await page.getByText(/recorded as revision/).waitFor();
    assert.equal(sql("SELECT default_model IS NULL FROM services WHERE id = 'claude'"), "1");
    await page.goto(`${base}/services/of/claude`);
    await page.getByRole("link", { name: "Remove…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await page.waitForURL(/\/services/);
    assert.equal(sql("SELECT count(*) FROM services WHERE id = 'claude'"), "0");
    await page.context().close();
  },
  async "of two browsers that edit one service the second is told, and nothing is lost"() {
    const [one, two] = [await logIn(await open(), "alice"), await logIn(await open(), "bob")];
    for (const page of [one, two]) await page.goto(`${base}/services/of/lmstudio`);
    await two.getByText("Live", { exact: true }).waitFor();
    await two.getByLabel("Base URL").fill("http://of-bob:1");
    await one.getByLabel("Base URL").fill("http://of-alice:1");
    await one.getByRole("button", { name: "Save" }).click();
    await one.getByText(/recorded as revision/).waitFor();
    await comesAlone("the other browser", two.getByText("Somebody else changed this while you were editing."));
    assert.equal(await two.getByLabel("Base URL").inputValue(), "http://of-bob:1", "what was typed stays");
    two.expectsFaults = true;
    await two.getByRole("button", { name: "Save" }).click();
    await two.getByText("Somebody else saved this meanwhile").waitFor();
    await shot(two, "overtaken");
    assert.equal(sql("SELECT base_url FROM services WHERE id = 'lmstudio'"), "http://of-alice:1");
    assert.equal(await two.getByLabel("Base URL").inputValue(), "http://of-bob:1");
    await two.getByRole("button", { name: "Save" }).click();
    await two.getByText(/recorded as revision/).waitFor();
    assert.equal(sql("SELECT base_url FROM services WHERE id = 'lmstudio'"), "http://of-bob:1");
    await one.context().close();
    await two.context().close();
  },
  async "settings, rules, pauses and backups"() {
    const page = await logIn(await open());
    await page.goto(`${base}/settings`);
    await page.getByLabel("Max parallel workers").fill("many");
    await page.getByText(/expected a whole number/).first().waitFor();
    assert.equal(await page.getByLabel("Max parallel workers").getAttribute("aria-invalid"), "true");
    await page.getByLabel("Max parallel workers").fill("7");
    await page.getByText("Saving writes:").waitFor();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText(/recorded as revision/).waitFor();
    assert.equal(sql("SELECT max_parallel_workers FROM execution_settings"), "7");
    await page.goto(`${base}/rules/of/quick_query`);
    page.expectsFaults = true;
    await page.getByLabel(/^Primary/).fill("nobody");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText(/nobody/).first().waitFor();
    await page.goto(`${base}/`);
    await page.getByText("Pause writing…").click();
    await page.getByLabel("Why").fill("night shift");
    await page.getByLabel(/^Until/).fill("2h");
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText("Paused. Differences").waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByText("Writes go on.").waitFor();
    await page.goto(`${base}/backups`);
    await page.getByRole("button", { name: "Take a backup now" }).click();
    await page.getByText("A backup was taken.").waitFor();
    await page.getByRole("link", { name: /^Check / }).first().click();
    await page.getByText("can be restored").waitFor();
    await page.getByRole("link", { name: /^Restore / }).first().click();
    await page.getByRole("dialog").getByText("so already").waitFor();
    await page.context().close();
  },
  async "the history leads back"() {
    const page = await logIn(await open());
    await page.goto(`${base}/history/1`);
    await page.getByText("What changed since").waitFor();
    await page.getByRole("link", { name: "Restore…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Restore" }).waitFor();
    await shot(page, "restore-preview");
    await dialog.getByLabel(/^Why/).fill("a bad night");
    await dialog.getByRole("button", { name: "Restore" }).click();
    await page.waitForURL(/\/history/);
    assert.equal(sql("SELECT enabled FROM services WHERE id = 'gemini'"), "1");
    await page.getByText("a bad night").first().waitFor();
    await page.context().close();
  },
  async "with the keyboard alone"() {
    const page = await logIn(await open());
    sql("UPDATE services SET enabled = 0 WHERE id = 'qwen'");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the page");
    await page.keyboard.press("g");
    await page.keyboard.press("d");
    await page.waitForURL(`${base}/drift`);
    const keep = page.getByRole("link", { name: /^Revert services.qwen.enabled/ });
    await keep.waitFor();
    for (let presses = 0; presses < 60; presses += 1) {
      await page.keyboard.press("Tab");
      if (await keep.evaluate((it) => it === document.activeElement)) break;
    }
    const outline = await keep.evaluate((it) => getComputedStyle(it).outlineStyle);
    assert.equal(outline, "solid", "one sees where one is");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByRole("button", { name: "Write into the database" }).waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByText(/recorded as revision/).waitFor();
    assert.equal(sql("SELECT enabled FROM services WHERE id = 'qwen'"), "1");
    await page.keyboard.press("/");
    await page.waitForURL(`${base}/services`);
    await page.keyboard.press("/");
    await page.keyboard.type("open");
    await page.getByText("1 service with “open”").waitFor();
    await page.context().close();
  },
  async "without script everything is still there"() {
    const page = await logIn(await open({ javaScriptEnabled: false }));
    sql("UPDATE services SET enabled = 0 WHERE id = 'qwen'");
    for (let tries = 0; tries < 50 && !(await page.getByRole("link", { name: /^Revert services.qwen/ }).count()); tries += 1) await page.goto(`${base}/drift`);
    await page.getByRole("link", { name: /^Revert services.qwen.enabled/ }).click();
    await page.getByRole("button", { name: "Write into the database" }).click();
    await page.getByText(/recorded as revision/).waitFor();
    await page.goto(`${base}/services/of/qwen`);
    await page.getByLabel("Default model").fill("small");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText(/recorded as revision/).waitFor();
    assert.equal(sql("SELECT default_model FROM services WHERE id = 'qwen'"), "small");
    await page.goto(`${base}/services?q=zzz`);
    await page.getByText("Nothing has that in its name.").waitFor();
    await page.getByLabel("Colours").selectOption("dark");
    await page.getByRole("button", { name: "Set" }).click();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme).catch(() => "dark"), "dark");
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Token").waitFor();
    await page.context().close();
  },
};

for (const [name, step] of Object.entries(steps)) {
  const began = performance.now();
  try {
    await step();
    assert.deepEqual(faults, [], "nothing on the console, nothing asked elsewhere");
    console.log(JSON.stringify({ step: name, milliseconds: Math.round(performance.now() - began) }));
  } catch (error) {
    for (const [number, page] of browser.contexts().flatMap((it) => it.pages()).entries()) await shot(page, `failed-${number}`).catch(() => {});
    console.log(JSON.stringify({ failed: name, why: String(error.stack ?? error), faults }));
    process.exit(1);
  }
}
await browser.close();
