// Drives a real Chromium. One JSON step a line comes in, one JSON answer a line goes out: {"value": …} or
// {"error", "url", "text"} with what the page showed. The browser ends with the standard input.
//
// Usage: node browser.mjs CHROMIUM [extra Chromium flags]
//
// Every run has a fresh profile. The steps:
//   {"step": "fresh", "options": {…}}        forget everything; options as in Playwright's newContext
//   {"step": "goto", "url"}                  gives the answer's status
//   {"step": "fill", "selector", "text"}     {"step": "click", "selector"}
//   {"step": "press", "selector", "key"}     {"step": "reload"}   {"step": "back"}
//   {"step": "wait_url", "part"}             until the address contains it
//   {"step": "wait_text", "part"}            until the page shows it
//   {"step": "wait_selector", "selector"}
//   {"step": "text", "selector"}             {"step": "value", "selector"}   {"step": "count", "selector"}
//   {"step": "url"}                          {"step": "html"}
//   {"step": "cookies", "url"}               {"step": "set_cookie", "cookie": {…}}
//   {"step": "fetch", "url"}                 the page's own fetch, with its cookies: {"status", "body"}
//   {"step": "console"}                      messages and script errors since the last time
//   {"step": "screenshot", "path"}
//   {"step": "tab"}                          the next control by keyboard: {"text", "outline"}, null at the end
//   {"step": "requests"}                     addresses asked for since the last time
//   {"step": "audit"}                        what tests/node/audit.mjs measures of the page
//   {"step": "post", "url", "fields"}         sends a form from an empty page of no origin

import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { audit, focused } from './audit.mjs';

const [executablePath, ...extra] = process.argv.slice(2);
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const browser = await chromium.launch({ executablePath, args: [...flags, ...extra] });
const patienceMillis = 15_000;

let context;
let page;
let messages = [];
let requests = [];

async function fresh(options = {}) {
  await context?.close();
  context = await browser.newContext({ viewport: { width: 1000, height: 750 }, ...options });
  context.setDefaultTimeout(patienceMillis);
  page = await context.newPage();
  messages = [];
  requests = [];
  page.on('request', (request) => requests.push(request.url()));
  page.on('console', (message) => messages.push({ kind: message.type(), text: message.text() }));
  page.on('pageerror', (error) => messages.push({ kind: 'pageerror', text: String(error) }));
}

const steps = {
  fresh: ({ options }) => fresh(options),
  goto: async ({ url }) => (await page.goto(url))?.status(),
  reload: async () => (await page.reload())?.status(),
  back: async () => (await page.goBack())?.status(),
  fill: ({ selector, text }) => page.fill(selector, text),
  click: ({ selector }) => page.click(selector),
  press: ({ selector, key }) => page.press(selector, key),
  wait_url: ({ part }) => page.waitForURL((url) => url.href.includes(part)),
  wait_text: ({ part }) => page.getByText(part).first().waitFor(),
  wait_selector: async ({ selector }) => void (await page.waitForSelector(selector)),
  text: ({ selector }) => page.innerText(selector),
  value: ({ selector }) => page.inputValue(selector),
  count: ({ selector }) => page.locator(selector).count(),
  url: () => page.url(),
  html: () => page.content(),
  cookies: ({ url }) => context.cookies(url),
  set_cookie: ({ cookie }) => context.addCookies([cookie]),
  fetch: ({ url }) =>
    page.evaluate(async (target) => {
      const answer = await fetch(target);
      return { status: answer.status, body: await answer.text() };
    }, url),
  console: () => {
    const seen = messages;
    messages = [];
    return seen;
  },
  tab: async () => {
    await page.keyboard.press('Tab');
    return page.evaluate(focused);
  },
  requests: () => {
    const seen = requests;
    requests = [];
    return seen;
  },
  audit: () => page.evaluate(audit),
  post: async ({ url, fields }) => {
    await page.goto('about:blank');
    const sent = page.waitForURL((now) => now.href.startsWith(url));
    await page.evaluate(
      ([target, values]) => {
        const form = document.createElement('form');
        form.method = 'post';
        form.action = target;
        for (const [name, value] of Object.entries(values)) {
          const field = document.createElement('input');
          field.name = name;
          field.value = value;
          form.append(field);
        }
        document.body.append(form);
        form.submit();
      },
      [url, fields],
    );
    await sent;
  },
  screenshot: async ({ path }) => void (await page.screenshot({ path })),
};

async function play(line) {
  const step = JSON.parse(line);
  const act = steps[step.step];
  if (!act) throw new Error(`unknown step ${step.step}`);
  return act(step);
}

// Where the browser stands when a step fails says more than the failure.
async function whereabouts() {
  const text = await page.innerText('body', { timeout: 1_000 }).catch(() => '');
  return { url: page.url(), text: text.slice(0, 2_000) };
}

await fresh();
console.log(JSON.stringify({ ready: browser.version() }));
for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { value: (await play(line)) ?? null };
  } catch (error) {
    answer = { error: String(error.message ?? error), ...(await whereabouts()) };
  }
  console.log(JSON.stringify(answer));
}
await browser.close();
