// progress shows how far an audit or a list is, as the server tells it, and loads the page again at its
// end. Without it the page loads again by itself.
interface Check { check: string; result: string }

// poll asks once a second how far a comparison is, and loads the page again at its end.
async function poll(line: HTMLElement): Promise<void> {
  for (;;) {
    await new Promise((then) => setTimeout(then, 1000));
    const r = document.hidden ? undefined : await fetch(line.dataset.poll ?? "").catch(() => undefined);
    if (!r) continue;
    if (r.status !== 202) return location.reload();
    const p = (await r.json()) as { done: number; all: number };
    line.textContent = `Comparing: ${p.done.toLocaleString("en")} of ${p.all.toLocaleString("en")} messages done.`;
  }
}

export function progress(): void {
  const line = document.querySelector<HTMLElement>("[data-poll]");
  if (line) void poll(line);
  const box = document.querySelector<HTMLElement>("[data-progress]");
  if (!box || !("EventSource" in window)) return;
  const stream = new EventSource(box.dataset.progress ?? "");
  const checks = new Map<string, { item: HTMLElement; n: number }>();
  const began = Date.now();
  stream.addEventListener("check", (e) => {
    const c = JSON.parse((e as MessageEvent<string>).data) as Check;
    let x = checks.get(c.check);
    if (!x) {
      x = { item: document.createElement("li"), n: 0 };
      checks.set(c.check, x);
      if (checks.size === 1) box.querySelector("ul")?.replaceChildren();
      box.querySelector("ul")?.append(x.item);
    }
    x.item.textContent = `${c.check} ${++x.n}`;
  });
  stream.addEventListener("progress", (e) => {
    const p = JSON.parse((e as MessageEvent<string>).data) as { done: number; total: number };
    box.querySelector("[data-done]")!.textContent = p.done.toLocaleString("en");
    document.getElementById("done")?.setAttribute("width", String((p.done / Math.max(1, p.total)) * 100));
    if (Date.now() - began > 15000) location.reload(); // the counts by grade
  });
  stream.addEventListener("done", () => {
    stream.close();
    const here = new URL(location.href);
    here.searchParams.delete("again");
    location.replace(here.href);
  });
}
