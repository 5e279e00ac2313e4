// Times in the zone of who looks; the page says them in UTC.

const say = (options) => new Intl.DateTimeFormat("en-GB", options);
const clock = say({ hour: "2-digit", minute: "2-digit" });
const day = say({ day: "numeric", month: "short" });
const year = say({ day: "numeric", month: "short", year: "numeric" });

/** Says the times below an element as they are here. */
export function local(root) {
  for (const place of root.querySelectorAll("time[datetime*=T]")) {
    const at = new Date(place.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const now = new Date();
    place.title = place.dateTime;
    if (at.toDateString() === now.toDateString()) place.textContent = clock.format(at);
    else place.textContent = `${(at.getFullYear() === now.getFullYear() ? day : year).format(at)}, ${clock.format(at)}`;
  }
}

local(document);
