"""The look of a report, and the small script that makes it easier to find one's way in it."""

from __future__ import annotations

STYLE = """\
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2328;--dim:#636c76;--line:#d8dee4;
--soft:#f6f8fa;--red:#b3202b;--amber:#8a5a00;--blue:#0a58ca;--mark:#fff3c4}
@media (prefers-color-scheme:dark){:root{--paper:#14171c;--ink:#e6e9ed;--dim:#98a2ad;
--line:#2b3138;--soft:#1b2027;--red:#ff7b7b;--amber:#f2b24b;--blue:#7fb2dd;--mark:#4a3d12}}
*{box-sizing:border-box}
body{margin:0 auto;padding:0 20px 60px;max-width:1340px;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:22px;margin:18px 0 2px}h2{font-size:18px;margin:34px 0 8px;
border-bottom:1px solid var(--line);padding-bottom:4px}h3{font-size:15px;margin:0 0 6px}
a{color:var(--blue);text-decoration:none}a:hover{text-decoration:underline}
nav{position:sticky;top:0;z-index:1;background:var(--paper);padding:8px 0;
border-bottom:1px solid var(--line)}nav a{margin-right:18px}
code,pre,.call,td,dd.run{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;
font-size:13px;overflow-wrap:anywhere}
pre{background:var(--soft);padding:10px;overflow:auto;border-radius:6px;white-space:pre-wrap}
.dim{color:var(--dim)}.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:12px 0}
.tile{background:var(--soft);border-radius:8px;padding:8px 14px}
.tile b{display:block;font-size:20px}
.tile.bad b{color:var(--red)}
.why{border:1px solid var(--line);border-left:4px solid var(--red);border-radius:6px;
padding:12px 16px;margin:12px 0}.why.surprise{border-left-color:var(--amber)}
dl{display:grid;grid-template-columns:86px 1fr;gap:2px 12px;margin:0}
dt{color:var(--dim)}dd{margin:0}
.finding{border-left:4px solid var(--blue);padding:2px 14px;margin:12px 0}
.finding.warning{border-left-color:var(--amber)}
.picture{overflow:auto;max-height:86vh;border:1px solid var(--line);border-radius:6px}
.picture svg{display:block;max-width:100%;height:auto}.tools{display:flex;flex-wrap:wrap;gap:8px;
align-items:center;margin:8px 0}.tools label{flex:1;display:flex;gap:8px;white-space:nowrap}
.tools input[type=range]{flex:1;min-width:160px}
.tools output{flex-basis:100%;font:13px ui-monospace,'DejaVu Sans Mono',monospace}
button{font:inherit;padding:2px 12px}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}
th{position:sticky;top:0;text-align:left;font-weight:600;color:var(--dim);font-size:13px;
background:var(--paper)}td,th{padding:2px 10px 2px 0;border-bottom:1px solid var(--line);
vertical-align:top}td.n,th.n{text-align:right}
tr:target td,section.why:target,section:target>h2{background:var(--mark)}
#call-table td:nth-child(2){white-space:nowrap;overflow-wrap:normal}
tr{scroll-margin-top:60px}section{scroll-margin-top:50px}
td.n{white-space:nowrap;overflow-wrap:normal}
tr.refused td:nth-child(4),tr.refused td:nth-child(4) a{color:var(--red);font-weight:bold}
tr.differs td{color:var(--amber)}tr.differs td:nth-child(5){font-weight:bold}
tr.gap td{text-align:center;color:var(--dim);background:var(--soft)}
.matrix th.k{writing-mode:vertical-rl;font-size:12px;padding:4px 0}.matrix td.k{text-align:center;
padding:2px;min-width:18px}.matrix .no{background:#d1242f33;color:var(--red)}
.matrix .here{color:var(--blue);font-weight:bold;text-decoration:underline}
@media print{nav,.tools{display:none}body{max-width:none;padding:0;font-size:11px}
.picture{max-height:none;overflow:visible;border:0}.why,.finding,tr{break-inside:avoid}
th{position:static}details>*{display:block}}
"""

SCRIPT = """\
'use strict';
(() => {
  const box = document.querySelector('.picture'), svg = box && box.querySelector('svg');
  if (!svg) return;
  const tools = document.getElementById('tools'), make = (name, text) => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    return tools.appendChild(made);
  };
  const base = svg.getBoundingClientRect().width;
  let zoom = 1;
  const scale = by => {
    const middle = box.scrollLeft + box.clientWidth / 2, before = zoom;
    zoom = Math.min(16, Math.max(1, zoom * by));
    svg.style.width = zoom > 1 ? base * zoom + 'px' : '';
    svg.style.maxWidth = zoom > 1 ? 'none' : '';
    box.scrollLeft = middle * zoom / before - box.clientWidth / 2;
  };
  make('button', 'zoom in').onclick = () => scale(1.5);
  make('button', 'zoom out').onclick = () => scale(1 / 1.5);
  const out = document.createElement('output'), slides = [];
  const say = step => {
    const row = document.getElementById('step-' + step), link = document.createElement('a');
    link.href = '#step-' + step;
    link.textContent = 'step ' + step;
    out.replaceChildren(row ? link : 'step ' + step, row ? ': ' +
      [...row.cells].slice(2, 5).map(cell => cell.textContent).join('  ') : '');
  };
  for (const vm of svg.querySelectorAll('.st-vm')) {
    const numbers = text => text.split(',').map(Number);
    const xs = numbers(vm.dataset.xs), steps = numbers(vm.dataset.steps);
    const line = document.createElementNS(svg.namespaceURI, 'path');
    const label = make('label', vm.dataset.name), slide = document.createElement('input');
    label.appendChild(slide);
    line.setAttribute('class', 'cursor');
    vm.appendChild(line);
    Object.assign(slide, {type: 'range', min: 0, max: xs.length - 1, value: 0});
    const show = at => {
      slide.value = at;
      line.setAttribute('d', 'M' + xs[at] + ' 20V' + vm.dataset.height);
    };
    slide.oninput = () => { show(+slide.value); say(steps[+slide.value]); };
    slides.push([steps, show]);
  }
  tools.appendChild(out);
  const follow = () => {
    const wanted = /^#(?:step|why)-(\\d+)$/.exec(location.hash);
    if (!wanted) return;
    for (const [steps, show] of slides) {
      const at = steps.findLastIndex(step => step <= +wanted[1]);
      if (at >= 0) show(at);
    }
    say(+wanted[1]);
  };
  addEventListener('hashchange', follow);
  follow();
  const field = document.getElementById('filter');
  field.hidden = false;
  field.oninput = () => {
    const words = field.value.toLowerCase();
    for (const row of document.querySelectorAll('#call-table tbody tr'))
      row.hidden = !row.textContent.toLowerCase().includes(words);
  };
})();
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""Nothing is loaded from anywhere."""


def page(title: str, body: str) -> str:
    """A whole page; title: escaped already."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n"
        f"<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
