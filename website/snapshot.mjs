// Starts the Python of Pyodide, has the program loaded, and keeps what then is in memory, so that no
// page has to do either: `node snapshot.mjs ENGINE_FOLDER PROGRAM.zip PREPARE.py OUT`.
import {readFileSync, writeFileSync} from 'node:fs';
import {resolve} from 'node:path';
import {pathToFileURL} from 'node:url';
import {gzipSync} from 'node:zlib';

const [, , folder, program, prepare, out] = process.argv;
const engine = resolve(folder) + '/';
const {loadPyodide} = await import(pathToFileURL(engine + 'pyodide.mjs'));
const python = await loadPyodide({indexURL: engine, _makeSnapshot: true});
python.unpackArchive(new Uint8Array(readFileSync(program)), 'zip', {extractDir: '/memslots'});
python.runPython(readFileSync(prepare, 'utf8') + '\nNone');
writeFileSync(out, gzipSync(python.makeMemorySnapshot(), {level: 9}));
