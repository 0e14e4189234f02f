// The page: takes a paste, hands it to the worker, shows what the program printed.
'use strict';

const $ = id => document.getElementById(id);
const here = new URL('.', location.href).href;
const tabs = [...document.querySelectorAll('[data-tab]')];
const views = ['map', 'report'];
let worker, isReady = false, waiting = null, run = 0, shown = {}, frames = [];

// The worker is made from a blob, so that this page's policy binds it: it reaches this site alone.
async function start() {
  isReady = false;
  say('loading Python…');
  const source = await (await fetch('worker.js')).text();
  const made = URL.createObjectURL(new Blob([source], {type: 'text/javascript'}));
  worker = new Worker(made, {type: 'module', name: here});
  worker.onmessage = ({data}) => receive[data.what](data);
  worker.onerror = event => receive.broken({text: event.message});
}

const receive = {
  ready({kernels, codes}) {
    isReady = true;
    $('codes').textContent = codes;
    $('kernels').replaceChildren(...kernels.map(name => new Option(name, name)));
    say('ready');
    if (waiting) send(waiting);
  },
  explained({id, command, code, out, err}) {
    if (id !== run) return;
    $('command').textContent = command;
    $('code').textContent = 'exit code ' + code;
    $('out').replaceChildren(...coloured(out));
    $('err').textContent = err;
    $('answer').hidden = false;
    open('explanation');
    say('drawing…');
  },
  drawn({id, name, text, err}) {
    if (id !== run) return;
    shown[name] = text;
    $(name).replaceChildren();
    tab(name).disabled = !text;
    tab(name).title = err;
    if (name !== 'report') return;
    $('save').hidden = !text;
    if (text) $('save').href = framed(text, 'text/html');
    $('stop').hidden = true;
    $('go').disabled = false;
    say('done');
  },
  broken({text}) {
    say('this does not work here: ' + text);
    $('go').disabled = false;
  },
};

const say = text => { $('state').textContent = text; };
const tab = name => tabs.find(each => each.dataset.tab === name);

function framed(text, type) {
  const url = URL.createObjectURL(new Blob([text], {type}));
  frames.push(url);
  return url;
}

// Pictures and reports are documents of their own, without rights: even if one of them held hostile
// text, it would have nothing to speak to.
function open(name) {
  for (const each of tabs) {
    const isOpen = each.dataset.tab === name;
    each.setAttribute('aria-selected', isOpen);
    $(each.dataset.tab).hidden = !isOpen;
  }
  if (!views.includes(name) || $(name).firstChild || !shown[name]) return;
  const frame = document.createElement('iframe');
  frame.title = name;
  frame.setAttribute('sandbox', name === 'report' ? 'allow-scripts' : '');
  frame.src = framed(name === 'map' ? picturePage + shown.map : shown[name], 'text/html');
  $(name).append(frame);
  const size = name === 'map' && /viewBox="0 0 (\d+) (\d+)"/.exec(shown.map);
  if (size) frame.style.height = 24 + size[2] * Math.min(1, frame.clientWidth / size[1]) + 'px';
}

const picturePage = '<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" ' +
  'content="light dark"><style>body{margin:8px}svg{max-width:100%;height:auto}</style>';

// The colours and links of a terminal; every other control character stays text.
function coloured(text) {
  const names = {1: 'bold', 2: 'dim', 31: 'red', 32: 'green', 33: 'yellow', 34: 'blue', 36: 'blue'};
  let style = '', link = '';
  return text.split(/(\x1b\[[\d;]*m|\x1b\]8;;[^\x1b]*\x1b\\)/).flatMap(part => {
    const code = /^\x1b\[([\d;]*)m$/.exec(part), to = /^\x1b\]8;;(.*)\x1b\\$/.exec(part);
    if (code) style = names[code[1]] || '';
    if (to) link = /^\.\.\/rules\/[a-z0-9-]+\.html$/.test(to[1]) ? to[1] : '';
    if (code || to || !part) return [];
    const made = document.createElement(link ? 'a' : 'span');
    if (link) made.href = link;
    made.className = style;
    made.textContent = part;
    return [made];
  });
}

// How many letters a line of the answer has room for.
function columns() {
  $('out').textContent = '0000000000';
  $('answer').hidden = false;
  open('explanation');
  const range = document.createRange();
  range.selectNodeContents($('out'));
  const letter = range.getBoundingClientRect().width / 10;
  const {paddingLeft, paddingRight} = getComputedStyle($('out'));
  const room = $('out').clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
  $('answer').hidden = true;
  return Math.max(32, Math.floor(room / letter));
}

async function submit() {
  const id = ++run, file = $('file').files[0], kernel = $('kernel').value.trim();
  frames.forEach(URL.revokeObjectURL);
  frames = [];
  shown = {};
  $('answer').hidden = true;
  $('stop').hidden = false;
  $('go').disabled = true;
  if (isReady) say('reading…');
  const bytes = file ? await file.arrayBuffer() : new TextEncoder().encode($('paste').value).buffer;
  if (id !== run) return;
  waiting = {id, bytes, kernel, columns: columns()};
  if (isReady) send(waiting);
}

function send(task) {
  waiting = null;
  say('reading…');
  worker.postMessage(task, [task.bytes]);
}

function stop() {
  worker.terminate();
  waiting = null;
  run++;
  $('stop').hidden = true;
  $('go').disabled = false;
  start();
}

async function offer() {
  for (const {name, text} of await (await fetch('examples.json')).json()) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = name;
    button.onclick = () => {
      $('paste').value = text;
      $('file').value = '';
      submit();
    };
    $('examples').append(button);
  }
}

$('form').onsubmit = event => { event.preventDefault(); submit(); };
$('stop').onclick = stop;
$('paste').oninput = () => { $('file').value = ''; };
for (const each of tabs) each.onclick = () => open(each.dataset.tab);
if (location.protocol === 'file:') {
  say('Browsers run no Python from a file: serve the folder, `python3 -m http.server`, and open it there.');
} else {
  offer();
  start().catch(error => receive.broken({text: error.message}));
}
