// Reduces pictures with sharp; the same questions and answers as worker.py's.
'use strict';
const fs = require('fs');
const readline = require('readline');
const sharp = require('sharp');

sharp.cache(false);

function reduce(data, request) {
  let picture = sharp(data);
  if (request.orient > 1) picture = picture.autoOrient();
  return picture.resize(request.width, request.height, { fit: 'fill' }).jpeg({ quality: 90 }).toBuffer();
}

function memory() {
  const status = fs.readFileSync('/proc/self/status', 'utf8');
  const field = (name) => Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(status)[1]) * 1024;
  return { resident: field('VmRSS'), peak: field('VmHWM'), code: field('RssFile') };
}

async function once(request) {
  try {
    fs.writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    // The peak counts from the start of the process then.
  }
  const start = memory();
  await reduce(fs.readFileSync(request.file), request);
  const end = memory();
  console.log(JSON.stringify({ over_start: end.peak - start.resident, code: end.code - start.code }));
}

async function serve() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    let answer;
    try {
      const data = fs.readFileSync(request.file);
      const before = process.cpuUsage();
      const reduced = await reduce(data, request);
      const spent = process.cpuUsage(before);
      answer = { ms: (spent.user + spent.system) / 1000, bytes: reduced.length };
      if (request.out) fs.writeFileSync(request.out, reduced);
    } catch (error) {
      answer = { error: String(error) };
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
}

if (process.argv[2] === '--once') once(JSON.parse(process.argv[3]));
else if (process.argv[2] === '--versions') console.log(JSON.stringify({ ...sharp.versions, threads: sharp.concurrency() }));
else serve();
