// Python, away from the page: it may take its time, and can be stopped.
const here = self.name;
let run;

// The memory of a Python that has the program loaded already; see snapshot.mjs.
async function memory() {
  const {body} = await fetch(here + 'memslots.snapshot');
  return new Response(body.pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
}

async function load() {
  const _loadSnapshot = memory();
  const [{loadPyodide}, {default: create}] = await Promise.all([
    import(here + 'pyodide/pyodide.mjs'), import(here + 'pyodide/pyodide.asm.mjs'),
  ]);
  // Python's memory is made as small as ever; what is to be put into it has grown
  const createPyodideModule = async settings => {
    const made = await create(settings);
    made._malloc((await _loadSnapshot).byteLength);
    return made;
  };
  const python = await loadPyodide({indexURL: here + 'pyodide/', _loadSnapshot, createPyodideModule});
  run = python.runPython('import terminal; terminal');
  const kernels = run.kernels(), codes = run.exit_codes();
  postMessage({what: 'ready', kernels: kernels.toJs(), codes});
}

function command(words, bytes) {
  const answer = run.run(words, bytes);
  const found = answer.toJs();
  answer.destroy();
  return found;
}

const loading = load().catch(error => postMessage({what: 'broken', text: error.message}));

onmessage = async ({data: {id, bytes, kernel, columns}}) => {
  await loading;
  const stated = kernel ? ['--kernel=' + kernel] : [];
  const narrow = columns < 100 ? ['--width=' + columns] : [];
  const paste = new Uint8Array(bytes);
  try {
    const [line, code, out, err] = command(['explain', ...stated, ...narrow, '-'], paste);
    postMessage({what: 'explained', id, command: line, code, out, err});
    for (const [name, words] of [['map', ['map', '--svg=-']], ['report', ['report', '--title=pasted']]]) {
      const [, , text, why] = command([...words, ...stated, '-'], paste);
      postMessage({what: 'drawn', id, name, text, err: why});
    }
  } catch (error) {
    postMessage({what: 'broken', text: error.message});
  }
};
