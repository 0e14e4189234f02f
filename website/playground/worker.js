// Python, away from the page: it may take its time, and can be stopped.
const here = self.name;
let run;

async function load() {
  const [{loadPyodide}, program] = await Promise.all([
    import(here + 'pyodide/pyodide.mjs'),
    fetch(here + 'memslots.zip').then(answer => answer.arrayBuffer()),
  ]);
  const python = await loadPyodide({indexURL: here + 'pyodide/'});
  python.unpackArchive(program, 'zip', {extractDir: '/memslots'});
  run = python.runPython('import sys; sys.path.insert(0, "/memslots"); import terminal; terminal');
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

onmessage = async ({data: {id, bytes, kernel}}) => {
  await loading;
  const stated = kernel ? ['--kernel=' + kernel] : [];
  const paste = new Uint8Array(bytes);
  try {
    const [line, code, out, err] = command(['explain', ...stated, '-'], paste);
    postMessage({what: 'explained', id, command: line, code, out, err});
    for (const [name, words] of [['map', ['map', '--svg=-']], ['report', ['report', '--title=pasted']]]) {
      const [, , text, why] = command([...words, ...stated, '-'], paste);
      postMessage({what: 'drawn', id, name, text, err: why});
    }
  } catch (error) {
    postMessage({what: 'broken', text: error.message});
  }
};
