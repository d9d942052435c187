// Single keys, never with Ctrl, Alt or Meta and never in a field. One switch turns them off
// (WCAG 2.1.4).
const off = "postseal.keys";
const pages: Record<string, string> = { l: "/live", s: "/search", w: "/whatif", a: "/audit", r: "/reports", y: "/system" };

const enabled = (): boolean => localStorage.getItem(off) !== "off";

// rows are the first links of the rows of tables, or without any the headings of the page with those of findings.
function rows(): HTMLElement[] {
  const links = [...document.querySelectorAll("main tbody tr")].map((tr) => tr.querySelector<HTMLElement>("a[href]")).filter((a) => a !== null);
  if (links.length > 0) return links;
  const heads = [...document.querySelectorAll<HTMLElement>("main h2, main .fin h3")].filter((h) => h.checkVisibility());
  for (const h of heads) h.tabIndex = -1;
  return heads;
}

function move(step: number): void {
  const list = rows();
  if (list.length === 0) return;
  const now = list.indexOf(document.activeElement as HTMLElement);
  list[Math.min(list.length - 1, Math.max(0, now < 0 ? 0 : now + step))].focus();
}

// target is what a key stands for, if the page has it.
function target(key: string): HTMLElement | undefined {
  const list = [...document.querySelectorAll<HTMLElement>("[data-key]")];
  return list.find((e) => e.dataset.key === key && !e.hidden);
}

// press clicks what a key stands for. An option of a list is chosen, and its form sent.
function press(key: string): boolean {
  const e = target(key);
  if (e instanceof HTMLOptionElement) {
    e.selected = true;
    e.closest("form")?.requestSubmit();
  } else e?.click();
  return !!e;
}

// works reports whether a key does something on this page.
function works(key: string): boolean {
  switch (key) {
    case "/":
    case "?":
    case "g":
      return true;
    case "j":
    case "k":
      return rows().length > 0;
    case "Enter":
      return rows().some((e) => e.matches("a[href]"));
  }
  return !!target(key);
}

// explain leaves out what does nothing on this page, in the footer and in the list of all keys.
function explain(): void {
  for (const e of document.querySelectorAll<HTMLElement>("[data-keys]")) e.hidden = !(e.dataset.keys ?? "").split(" ").some(works);
}

function act(key: string): boolean {
  switch (key) {
    case "/": {
      const field = document.getElementById("q") ?? document.getElementById("domain");
      field?.focus();
      if (field instanceof HTMLInputElement) field.select(); // it may be a list
      if (!field) location.assign("/search"); // its field has the focus
      return true;
    }
    case "j":
      move(1);
      return true;
    case "k":
      move(-1);
      return true;
    case "?": {
      const help = document.getElementById("keys") as HTMLDialogElement | null;
      explain();
      if (help?.open) help.close();
      else help?.showModal();
      return help !== null;
    }
  }
  return press(key);
}

// remember keeps in the entry of the history which row had the focus, and gives it back: who leaves a
// message is at its row again.
function remember(): void {
  document.addEventListener("focusin", (e) => {
    const href = (e.target as HTMLElement).getAttribute?.("href") ?? "";
    if (rows().includes(e.target as HTMLElement)) history.replaceState({ row: href }, "");
  });
  const row = (history.state as { row?: string } | null)?.row;
  if (!row) return;
  const focus = () => rows().find((a) => a.getAttribute("href") === row)?.focus();
  addEventListener("load", () => requestAnimationFrame(() => requestAnimationFrame(focus))); // after autofocus
}

// arrows move from one bar of a chart to the next; Enter narrows the search to it.
function arrows(): void {
  document.querySelector(".histogram")?.addEventListener("keydown", (e) => {
    const { key } = e as KeyboardEvent;
    const step = key === "ArrowRight" ? 1 : key === "ArrowLeft" ? -1 : 0;
    const bars = [...document.querySelectorAll<SVGAElement>(".histogram a")];
    const next = bars[bars.indexOf(document.activeElement as unknown as SVGAElement) + step];
    if (step === 0 || !next) return;
    e.preventDefault();
    next.focus();
  });
}

export function keys(): void {
  remember();
  arrows();
  let going = 0;
  document.addEventListener("keydown", (e) => {
    const target = e.target as HTMLElement;
    if (!enabled() || e.ctrlKey || e.altKey || e.metaKey || target.closest("input, textarea, select, [contenteditable]")) return;
    if (going > 0 && e.timeStamp - going < 1500 && pages[e.key]) {
      location.assign(pages[e.key]);
      return;
    }
    going = e.key === "g" ? e.timeStamp : 0;
    if (act(e.key)) e.preventDefault();
  });
  const box = document.getElementById("keys-on") as HTMLInputElement | null;
  if (!box) return;
  box.checked = enabled();
  box.addEventListener("change", () => localStorage.setItem(off, box.checked ? "on" : "off"));
  explain();
  document.getElementById("hints")?.removeAttribute("hidden");
  document.getElementById("keys-open")?.addEventListener("click", () => act("?"));
}
