// The body's editor: says what is wrong while it is written, and finds the place of a fault.

// Where in a JSON text the value of a pointer is: [start, end], or null. The text is valid.
function locate(text, pointer) {
  const wanted = pointer.split("/").slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  const string = /"(?:[^"\\]|\\.)*"/y;
  const scalar = /"(?:[^"\\]|\\.)*"|[^\s,\]}]+/y;
  const space = /[\s,:]*/y;
  let at = 0;
  const take = (pattern) => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? "";
    at += found.length;
    return found;
  };
  // Walks over one value; `depth` steps of the pointer led here, or -1 if it is elsewhere.
  const walk = (depth) => {
    take(space);
    const start = at;
    const isObjectHere = text[at] === "{";
    let found = null;
    if (isObjectHere || text[at] === "[") {
      at++;
      take(space);
      for (let index = 0; at < text.length && !"]}".includes(text[at]); index++) {
        const name = isObjectHere ? JSON.parse(take(string) || '""') : String(index);
        const isOnWay = depth >= 0 && depth < wanted.length && wanted[depth] === name;
        found = walk(isOnWay ? depth + 1 : -1) ?? found;
        take(space);
      }
      at++;
    } else if (take(scalar) === "") {
      throw new Error("no value");
    }
    return depth === wanted.length ? [start, at] : found;
  };
  try {
    return walk(0);
  } catch {
    return null;
  }
}

// What is wrong with a JSON text, in words; "" if nothing is.
function syntaxFault(text) {
  if (text.trim() === "") return "The body is empty.";
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return String(error.message);
  }
}

// Selects a value in the editor and scrolls to it.
function select(editor, pointer) {
  const range = locate(editor.value, pointer);
  editor.focus();
  if (!range) return;
  editor.setSelectionRange(range[0], range[1]);
  const line = editor.value.slice(0, range[0]).split("\n").length - 1;
  const lineHeight = parseFloat(getComputedStyle(editor).lineHeight) || 20;
  editor.scrollTop = Math.max(0, (line - 3) * lineHeight);
}

// A word for a POSIX shell.
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

// The command that sends the same request.
function command(request) {
  const words = ["curl", "-i"];
  if (request.method !== "GET" || request.file) words.push("-X", request.method);
  words.push(quoted(request.url));
  for (const [name, value] of request.headers) words.push("-H", quoted(`${name}: ${value}`));
  if (request.file) {
    words.push("--data-binary", quoted(`@${request.file.name}`));
  } else if (request.body !== undefined) {
    words.push("--data-raw", quoted(request.body));
  }
  return words.join(" ");
}

// Headers as they were typed; lines without a colon are no headers.
function headersOf(text) {
  return text.split("\n").filter((line) => line.includes(":")).map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  });
}
