// Single keys, never with Ctrl, Alt or Meta and never in a field. One switch turns them off
// (WCAG 2.1.4).
const off = "postseal.keys";
const pages: Record<string, string> = { l: "/live", s: "/search", w: "/whatif", a: "/audit", r: "/reports", y: "/system" };

const enabled = (): boolean => localStorage.getItem(off) !== "off";

// rows are the first links of the rows of tables, or without any the headings of the page.
function rows(): HTMLElement[] {
  const links = [...document.querySelectorAll("main tbody tr")].map((tr) => tr.querySelector<HTMLElement>("a[href]")).filter((a) => a !== null);
  if (links.length > 0) return links;
  const heads = [...document.querySelectorAll<HTMLElement>("main h2")];
  for (const h of heads) h.tabIndex = -1;
  return heads;
}

function move(step: number): void {
  const list = rows();
  if (list.length === 0) return;
  const now = list.indexOf(document.activeElement as HTMLElement);
  list[Math.min(list.length - 1, Math.max(0, now < 0 ? 0 : now + step))].focus();
}

// press clicks what a key stands for, if the page has it.
function press(key: string): boolean {
  const e = document.querySelector<HTMLElement>(`[data-key="${key}"]`);
  if (!e || e.hidden) return false;
  e.click();
  return true;
}

function act(key: string): boolean {
  switch (key) {
    case "/": {
      const field = (document.getElementById("q") ?? document.getElementById("domain")) as HTMLInputElement | null;
      field?.focus();
      field?.select();
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
      if (help?.open) help.close();
      else help?.showModal();
      return help !== null;
    }
    case "c":
    case "e":
    case "y":
    case "p":
    case "r":
    case "w":
    case "[":
    case "]":
      return press(key);
  }
  return false;
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

export function keys(): void {
  remember();
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
  document.getElementById("hints")?.removeAttribute("hidden");
  document.getElementById("keys-open")?.addEventListener("click", () => act("?"));
}
