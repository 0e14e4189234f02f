// Compiles archives of Python with the Python of Pyodide, so that no page has to:
// `node compile.mjs ENGINE_FOLDER IN.zip OUT.zip ...`.
import {readFileSync, writeFileSync} from 'node:fs';
import {resolve} from 'node:path';
import {pathToFileURL} from 'node:url';

const [, , folder, ...pairs] = process.argv;
const engine = resolve(folder) + '/';
const {loadPyodide} = await import(pathToFileURL(engine + 'pyodide.mjs'));
const python = await loadPyodide({indexURL: engine});
const compiled = python.runPython(`
import importlib.util, io, marshal, zipfile

# magic number, "the source is not to be looked for", and the place of its sum
HEAD = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8)

def compiled(data):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data.to_bytes())) as read, zipfile.ZipFile(out, "w") as write:
        for item in read.infolist():
            name, content = item.filename, read.read(item)
            if name.endswith(".py"):
                code = compile(content, f"/{name}", "exec", dont_inherit=True)
                name, content = f"{name}c", HEAD + marshal.dumps(code)
            to = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            write.writestr(to, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()

compiled`);
for (let at = 0; at < pairs.length; at += 2)
  writeFileSync(pairs[at + 1], compiled(new Uint8Array(readFileSync(pairs[at]))).toJs());
