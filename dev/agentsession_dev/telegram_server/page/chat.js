"use strict";

// Everything that comes from the bot is set as text, never as HTML.
const element = (id) => document.getElementById(id);
// The address says who one is: two windows are two people.
const me = Number(new URLSearchParams(location.search).get("as"));
let person = null;
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
    if (entity.type === "spoiler") {
      node.className = "spoiler";
      node.tabIndex = 0;
    }
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

function footer(message, own) {
  const meta = document.createElement("div");
  meta.className = "meta";
  if (own && message.text) {
    const edit = document.createElement("button");
    edit.type = "button";
    edit.textContent = "Edit";
    edit.className = "edit";
    edit.onclick = () => editMessage(message);
    meta.append(edit);
  }
  const time = document.createElement("time");
  const at = new Date(message.date * 1000);
  time.dateTime = at.toISOString();
  time.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  meta.append(message.edit_date ? "edited" : "", time);
  return meta;
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
  item.append(footer(message, own));
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

// What is read again after a reload may be long over.
function showTyping(action, at) {
  typingEnds = at * 1000 + 5000;
  if (Date.now() >= typingEnds) return;
  element("typing").textContent = `${element("bot").textContent} is ${action.replace("_", " ")}`;
  element("typing").hidden = false;
  setTimeout(() => { if (Date.now() >= typingEnds) element("typing").hidden = true; },
    typingEnds - Date.now() + 100);
}

function showReaction({ message_id, emoji }) {
  const item = shown.get(message_id);
  if (!item) return;
  item.querySelector(".reaction")?.remove();
  if (!emoji.length) return;
  const node = document.createElement("span");
  node.className = "reaction";
  node.textContent = emoji.join("");
  node.setAttribute("aria-label", `the bot's reaction: ${emoji.join("")}`);
  item.querySelector(".meta").prepend(node);
}

function happened({ kind, at, data }) {
  if (kind === "message" || kind === "edit") {
    render(data);
    if (data.from.is_bot && kind === "message") { showDraft(null); element("typing").hidden = true; }
  } else if (kind === "delete") {
    shown.get(data.message_id)?.remove();
    shown.delete(data.message_id);
  } else if (kind === "draft") showDraft(data);
  else if (kind === "action") showTyping(data.action, at);
  else if (kind === "reaction") showReaction(data);
  else if (kind === "callback_answer") showNotice(data.text);
}

function showNotice(text) {
  element("notice").textContent = text || "";
  element("notice").hidden = !text;
}

async function send(text) {
  if (!text.trim()) return false;
  showNotice("");
  return Boolean(await attempt(() => call("POST", "/_control/messages", { user_id: person.id, text })));
}

async function sendWritten() {
  const box = element("text");
  if (await send(box.value)) box.value = "";
  box.focus();
}

async function sendFile(file) {
  const form = new FormData();
  form.set("user_id", person.id);
  form.set("file", file);
  form.set("caption", element("text").value);
  if (await attempt(() => call("POST", "/_control/files", form))) element("text").value = "";
}

function showMenu(commands) {
  element("menu").replaceChildren(...commands.map(({ command, description }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `/${command}`;
    button.title = description;
    button.onclick = () => send(`/${command}`);
    return button;
  }));
}

async function showBot() {
  const people = await call("GET", "/people");
  // The server has begun anew and knows nothing of this person any more.
  if (!people.some(({ id }) => id === me)) location.assign("/");
  const { bot, commands } = await call("GET", `/chats/${me}/bot`);
  element("bot").textContent = bot.first_name;
  showMenu(commands);
}

async function open() {
  const events = new EventSource(`/chats/${me}/events`);
  events.onopen = () => {
    element("state").textContent = `connected as ${person.first_name}`;
    // A bot that has started since has said what it can do.
    attempt(showBot);
  };
  events.onerror = () => { element("state").textContent = "connection lost, trying again…"; };
  events.onmessage = (event) => happened(JSON.parse(event.data));
  document.title = `${person.first_name}: chat with your agent`;
  element("leave").hidden = false;
  element("chat").hidden = false;
  element("text").focus();
}

function choose(people) {
  element("people").replaceChildren(...people.map(({ id, first_name }) => {
    const link = document.createElement("a");
    link.href = `/?as=${id}`;
    link.textContent = first_name;
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
  element("join").hidden = false;
}

async function start() {
  const people = await call("GET", "/people");
  person = people.find(({ id }) => id === me) || null;
  if (person) await open();
  else choose(people);
}

element("stranger").onsubmit = async (event) => {
  event.preventDefault();
  const id = 100000 + crypto.getRandomValues(new Uint32Array(1))[0];
  const joined = { id, first_name: element("name").value };
  if (await attempt(() => call("POST", "/_control/people", joined))) location.assign(`/?as=${id}`);
};
element("write").onsubmit = (event) => { event.preventDefault(); sendWritten(); };
element("text").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  sendWritten();
};
element("attach").onclick = () => element("file").click();
element("file").onchange = (event) => { if (event.target.files[0]) sendFile(event.target.files[0]); };
element("stop").onclick = () => attempt(() => call("POST", `/_control/people/${person.id}/stop`));

attempt(start);
