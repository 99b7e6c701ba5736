"use strict";
// A schema as a tree that opens on demand, so that schemas which contain themselves have no end
// only for who opens them forever. Everything from the document becomes text, never markup.

const LIST_SHOWN_MAX = 200;

// Keywords that list schemas for the same value, and how to say it.
const several = [["anyOf", "any of"], ["oneOf", "one of"], ["allOf", "all of"]];

// An element with classes and children; strings become text.
function make(tag, classes, ...children) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// What a JSON pointer in a reference leads to.
function follow(root, reference) {
  if (typeof reference !== "string" || !reference.startsWith("#")) return undefined;
  let place = root;
  let pointer;
  try {
    pointer = decodeURIComponent(reference.slice(1));
  } catch {
    return undefined;
  }
  for (const step of pointer.split("/").slice(1)) {
    const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof place !== "object" || place === null || !Object.hasOwn(place, name)) {
      return undefined;
    }
    place = place[name];
  }
  return place;
}

// The schema behind references, and the name of the last of them.
function behind(root, schema) {
  let name = "";
  for (let turns = 0; turns < 20 && isObject(schema) && "$ref" in schema; turns++) {
    const target = follow(root, schema.$ref);
    if (target === undefined) break;
    name = schema.$ref.split("/").pop();
    const own = Object.keys(schema).length > 1 ? schema : {};
    schema = isObject(target) ? { ...target, ...own, $ref: target.$ref } : target;
    if (isObject(schema) && schema.$ref === undefined) delete schema.$ref;
  }
  return { schema, name };
}

function typeName(schema) {
  if (schema === true) return "anything";
  if (schema === false) return "nothing";
  if (!isObject(schema)) return "";
  if ("const" in schema) return JSON.stringify(schema.const);
  if (Array.isArray(schema.enum)) return "one of";
  if (Array.isArray(schema.type)) return schema.type.join(" or ");
  if (schema.type) return String(schema.type);
  if (isObject(schema.properties)) return "object";
  if ("items" in schema) return "array";
  const [, words] = several.find(([keyword]) => Array.isArray(schema[keyword])) ?? [];
  return words ?? "anything";
}

// Keywords in short, those that are not shown in another way.
function rules(schema) {
  const words = {
    minimum: "≥", exclusiveMinimum: ">", maximum: "≤", exclusiveMaximum: "<",
    multipleOf: "multiple of", minLength: "at least", maxLength: "at most", pattern: "matches",
    format: "format", minItems: "at least", maxItems: "at most", minProperties: "at least",
    maxProperties: "at most",
  };
  const units = { Length: "characters", Items: "items", Properties: "members" };
  const found = [];
  for (const [keyword, word] of Object.entries(words)) {
    if (!(keyword in schema)) continue;
    const unit = units[keyword.replace(/^(min|max)/, "")] ?? "";
    found.push(`${word} ${schema[keyword]} ${unit}`.trim());
  }
  if (schema.uniqueItems === true) found.push("all different");
  if ("default" in schema) found.push(`default ${JSON.stringify(schema.default)}`);
  if (Array.isArray(schema.enum)) {
    found.push(schema.enum.slice(0, 20).map((option) => JSON.stringify(option)).join(", "));
  }
  return found.join(" · ");
}

// Parts of a schema with what to call them.
function parts(schema) {
  const found = [];
  const required = Array.isArray(schema.required) ? schema.required : [];
  for (const [name, part] of Object.entries(schema.properties ?? {})) {
    found.push([name, part, required.includes(name) ? "required" : ""]);
  }
  for (const [name, part] of Object.entries(schema.patternProperties ?? {})) {
    found.push([`/${name}/`, part, "names that match"]);
  }
  const others = schema.additionalProperties;
  if (isObject(others)) found.push(["other names", others, ""]);
  if (others === false) found.push(["other names", false, ""]);
  const first = schema.prefixItems ?? (Array.isArray(schema.items) ? schema.items : []);
  first.forEach((part, index) => found.push([`item ${index}`, part, ""]));
  const rest = schema.items;
  if (isObject(rest)) found.push([first.length ? "other items" : "items", rest, ""]);
  for (const [keyword, words] of several) {
    (schema[keyword] ?? []).forEach((part, index) => found.push([words, part, `${index + 1}`]));
  }
  if ("not" in schema) found.push(["not", schema.not, ""]);
  return found.slice(0, LIST_SHOWN_MAX);
}

function schemaLine(root, schema, label, mark) {
  const { schema: seen, name } = behind(root, schema);
  const known = isObject(seen) ? seen : {};
  return {
    seen,
    line: [
      label ? make("span", "name", label) : null, label ? " " : null,
      make("span", "type", typeName(seen)), " ",
      make("span", "rule", [name, mark, rules(known)].filter(Boolean).join(" · ")),
    ],
    note: known.description ?? known.title,
  };
}

// One entry of the tree. Its parts are made when it is opened.
function schemaEntry(root, schema, label, mark, isOpen) {
  const { seen, line, note } = schemaLine(root, schema, label, mark);
  const noteText = typeof note === "string" ? make("span", "note", note) : null;
  const inside = isObject(seen) ? parts(seen) : [];
  if (inside.length === 0) return make("li", "", ...line, noteText);
  const details = make("details", "", make("summary", "", ...line), noteText);
  const fill = () => {
    if (!details.open || details.querySelector("ul")) return;
    const entries = inside.map(([name, part, mark]) => schemaEntry(root, part, name, mark, false));
    details.append(make("ul", "", ...entries));
  };
  details.addEventListener("toggle", fill);
  details.open = isOpen;
  if (isOpen) fill();
  return make("li", "", details);
}

// A schema as a tree, and as it is written.
function schemaView(root, schema) {
  const raw = make("details", "", make("summary", "", "As JSON"));
  raw.addEventListener("toggle", () => {
    if (!raw.querySelector("pre")) raw.append(make("pre", "", JSON.stringify(schema, null, 2)));
  });
  const tree = make("ul", "", schemaEntry(root, schema, "", "", true));
  return make("div", "schema", tree, raw);
}
