// times adds the time of the browser's zone to each time, which is shown in UTC.
export function times(root: ParentNode): void {
  for (const t of root.querySelectorAll<HTMLTimeElement>("time[datetime]")) {
    const at = new Date(t.dateTime);
    if (!isNaN(at.getTime())) t.title = at.toLocaleString() + " here";
  }
}
