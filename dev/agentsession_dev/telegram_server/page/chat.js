"use strict";

// Everything that comes from the bot is set as text, never as HTML.
const element = (id) => document.getElementById(id);
const person = JSON.parse(localStorage.getItem("person") || "null");
const shown = new Map();
let typingEnds = 0;

async function call(method, path, body) {
  const form = body instanceof FormData;
  const response = await fetch(path, {
    method,
    headers: form || !body ? {} : { "content-type": "application/json" },
    body: form ? body : body && JSON.stringify(body),
  });
  if (response.status === 204) return null;
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.description || JSON.stringify(answer.detail));
  return answer;
}

async function attempt(action) {
  try {
    element("error").hidden = true;
    return await action();
  } catch (error) {
    element("error").textContent = error.message;
    element("error").hidden = false;
    return undefined;
  }
}

const TAGS = { bold: "b", italic: "i", underline: "u", strikethrough: "s", code: "code", pre: "pre",
  text_link: "a", blockquote: "blockquote", expandable_blockquote: "blockquote", spoiler: "span" };

// Entities are nested and sorted by offset; offsets are UTF-16 units, as in JavaScript's strings.
function formatted(text, entities) {
  const root = document.createElement("div");
  root.className = "text";
  let position = 0;
  const open = [{ node: root, end: text.length }];
  const addUntil = (end) => {
    while (open.length > 1 && open.at(-1).end <= end) {
      const top = open.pop();
      if (top.end > position) top.node.append(text.slice(position, top.end));
      position = Math.max(position, top.end);
    }
    if (end > position) open.at(-1).node.append(text.slice(position, end));
    position = Math.max(position, end);
  };
  for (const entity of entities || []) {
    if (!TAGS[entity.type]) continue;
    addUntil(entity.offset);
    const node = document.createElement(TAGS[entity.type]);
    if (entity.type === "text_link" && /^(https?|tg|mailto):/.test(entity.url)) {
      node.href = entity.url;
      node.rel = "noreferrer";
      node.target = "_blank";
    }
    open.at(-1).node.append(node);
    open.push({ node, end: entity.offset + entity.length });
  }
  addUntil(text.length);
  return root;
}

function fileLink(message) {
  const file = message.document || message.voice || (message.photo && message.photo.at(-1));
  if (!file) return null;
  const link = document.createElement("a");
  link.href = `/files/${encodeURIComponent(file.file_id)}`;
  link.textContent = `${file.file_name || "file"} (${file.file_size} bytes)`;
  return link;
}

function buttons(message) {
  const box = document.createElement("div");
  box.className = "buttons";
  for (const button of (message.reply_markup?.inline_keyboard || []).flat()) {
    const node = document.createElement("button");
    node.type = "button";
    node.textContent = button.text;
    node.onclick = () => button.url ? window.open(button.url, "_blank", "noreferrer") : attempt(() =>
      call("POST", `/_control/chats/${person.id}/messages/${message.message_id}/press`,
        { user_id: person.id, data: button.callback_data }));
    box.append(node);
  }
  return box;
}

function render(message) {
  const list = element("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  let item = shown.get(message.message_id);
  if (!item) {
    item = document.createElement("li");
    item.dataset.messageId = message.message_id;
    shown.set(message.message_id, item);
    list.append(item);
  }
  const own = !message.from.is_bot;
  item.className = own ? "own" : "bot";
  item.replaceChildren();
  if (message.reply_to_message) {
    const quoted = document.createElement("div");
    quoted.className = "quoted";
    quoted.textContent = (message.reply_to_message.text || "file").slice(0, 120);
    item.append(quoted);
  }
  const text = message.text ?? message.caption ?? "";
  item.append(formatted(text, message.entities || message.caption_entities));
  const link = fileLink(message);
  if (link) item.append(link);
  if (!own) item.append(buttons(message));
  const meta = document.createElement("span");
  meta.className = "meta";
  meta.textContent = new Date(message.date * 1000).toLocaleTimeString() + (message.edit_date ? " edited" : "");
  item.append(meta);
  if (own && message.text) {
    const edit = document.createElement("button");
    edit.type = "button";
    edit.textContent = "edit";
    edit.className = "edit";
    edit.onclick = () => editMessage(message);
    item.append(" ", edit);
  }
  if (atEnd) list.scrollTop = list.scrollHeight;
}

async function editMessage(message) {
  const text = window.prompt("New text", message.text);
  if (text && text !== message.text) {
    await attempt(() => call("PUT", `/_control/chats/${person.id}/messages/${message.message_id}`, { text }));
  }
}

function showDraft(draft) {
  element("draft").hidden = !draft;
  if (!draft) return;
  element("draft").firstElementChild.replaceWith(formatted(draft.text || "Thinking…", draft.entities));
  element("stop").hidden = !draft.can_stop;
}

function showTyping(action) {
  typingEnds = Date.now() + 5000;
  element("typing").textContent = action === "typing" ? "typing…" : action.replace("_", " ") + "…";
  element("typing").hidden = false;
  setTimeout(() => { if (Date.now() >= typingEnds) element("typing").hidden = true; }, 5100);
}

function showReaction({ message_id, emoji }) {
  const item = shown.get(message_id);
  if (!item) return;
  item.querySelector(".reaction")?.remove();
  if (!emoji.length) return;
  const node = document.createElement("span");
  node.className = "reaction";
  node.textContent = " " + emoji.join("");
  item.append(node);
}

function happened({ kind, data }) {
  if (kind === "message" || kind === "edit") {
    render(data);
    if (data.from.is_bot && kind === "message") { showDraft(null); element("typing").hidden = true; }
  } else if (kind === "delete") {
    shown.get(data.message_id)?.remove();
    shown.delete(data.message_id);
  } else if (kind === "draft") showDraft(data);
  else if (kind === "action") showTyping(data.action);
  else if (kind === "reaction") showReaction(data);
  else if (kind === "callback_answer" && data.text) window.setTimeout(() => window.alert(data.text), 0);
}

async function send(text) {
  if (!text.trim()) return;
  const sent = await attempt(() => call("POST", "/_control/messages", { user_id: person.id, text }));
  if (sent) element("text").value = "";
}

async function sendFile(file) {
  const form = new FormData();
  form.set("user_id", person.id);
  form.set("file", file);
  form.set("caption", element("text").value);
  if (await attempt(() => call("POST", "/_control/files", form))) element("text").value = "";
}

async function open() {
  await call("POST", "/_control/people", { id: person.id, first_name: person.name });
  const { bot, commands } = await call("GET", `/chats/${person.id}/bot`);
  element("bot").textContent = bot.first_name;
  for (const { command, description } of commands) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `/${command}`;
    button.title = description;
    button.onclick = () => send(`/${command}`);
    element("menu").append(button);
  }
  element("chat").hidden = false;
  const events = new EventSource(`/chats/${person.id}/events`);
  events.onopen = () => { element("state").textContent = `connected as ${person.name}`; };
  events.onerror = () => { element("state").textContent = "connection lost, trying again…"; };
  events.onmessage = (event) => happened(JSON.parse(event.data));
  element("text").focus();
}

element("join").onsubmit = (event) => {
  event.preventDefault();
  const id = 100000 + crypto.getRandomValues(new Uint32Array(1))[0];
  localStorage.setItem("person", JSON.stringify({ id, name: element("name").value }));
  location.reload();
};
element("write").onsubmit = (event) => { event.preventDefault(); send(element("text").value); };
element("text").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); send(element("text").value); }
};
element("attach").onclick = () => element("file").click();
element("file").onchange = (event) => { if (event.target.files[0]) sendFile(event.target.files[0]); };
element("stop").onclick = () => attempt(() => call("POST", `/_control/people/${person.id}/stop`));

if (person) attempt(open);
else { element("join").hidden = false; element("name").focus(); }
