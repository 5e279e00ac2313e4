// Uploads from the drop zone and the form: a line for each file, with progress and a way to stop it.

const AT_ONCE = 2;
const waiting = [];
let running = 0;

const size = (bytes) => (bytes / 1048576).toFixed(bytes < 10485760 ? 1 : 0) + " MiB";
const path = (name) => name.split("/").map(encodeURIComponent).join("/");

/** Takes files from the form and from what is dropped on the page. `done(name, line)` is called for
 * each that is in; its line stays until it is in the list. */
export function uploads(form, list, drop, done) {
  const add = (files) => {
    const folder = form.elements.folder.value.trim().replace(/^\/+|\/+$/g, "");
    for (const file of files) {
      const name = folder ? `${folder}/${file.name}` : file.name;
      waiting.push(line(file, name, form.dataset, list, done));
    }
    next();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    add(form.elements.file.files);
    form.closest("details").open = false;
    form.elements.file.value = "";
  });
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    drop.hidden = false;
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.hidden = true; });
  document.addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    drop.hidden = true;
    add(event.dataTransfer.files);
  });
}

function line(file, name, { limit, to }, list, done) {
  const item = document.createElement("li");
  const words = document.createElement("span");
  const bar = document.createElement("progress");
  const button = document.createElement("button");
  words.textContent = name;
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", name);
  button.type = "button";
  button.textContent = "Cancel";
  item.append(words, bar, button);
  list.append(item);
  const end = (text) => {
    bar.remove();
    button.textContent = "Close";
    button.onclick = () => item.remove();
    words.textContent = `${name}: ${text}`;
    words.className = "bad";
    words.setAttribute("role", "alert");
  };
  if (file.size > Number(limit)) {
    end(`it has ${size(file.size)}, at most ${size(Number(limit))} are taken here; put it into the container uploads`);
    return null;
  }
  const request = new XMLHttpRequest();
  const job = { stopped: false, send };
  button.onclick = () => {
    job.stopped = true;
    request.abort();
    item.remove();
  };
  function send(then) {
    request.upload.onprogress = (event) => { if (event.lengthComputable) bar.value = event.loaded / event.total; };
    request.onload = () => {
      if (request.status < 300) {
        bar.remove();
        button.remove();
        words.textContent = `${name}: uploaded, waits for its turn`;
        done(name, item);
      } else end(reason(request));
    };
    request.onerror = () => end("the connection was lost; drop it again");
    request.onloadend = then;
    request.open("PUT", to + path(name));
    if (file.type) request.setRequestHeader("Content-Type", file.type);
    request.send(file);
  }
  return job;
}

function reason(request) {
  try {
    return JSON.parse(request.responseText).detail;
  } catch {
    return `the answer was ${request.status}`;
  }
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    const job = waiting.shift();
    if (!job || job.stopped) continue;
    running += 1;
    job.send(() => { running -= 1; next(); });
  }
}
