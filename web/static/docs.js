// Shows /api/openapi.json: every operation by tag, then every schema. It loads nothing else.
'use strict';

const el = (name, attrs = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attrs)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};

const typeOf = (schema) => {
  if (schema === true || schema === undefined) return document.createTextNode('anything');
  if (schema.$ref) {
    const name = schema.$ref.split('/').pop();
    return el('a', { href: '#' + name }, name);
  }
  if (schema.type === 'array') return el('span', {}, 'list of ', typeOf(schema.items));
  const words = [schema.type ?? 'anything'];
  if (schema.enum) words.push(schema.enum.join(' | '));
  if (schema.format) words.push(schema.format);
  return document.createTextNode(words.join(': '));
};

const rows = (list) => {
  const table = el('table');
  for (const [name, schema, doc] of list) table.append(el('tr', {}, el('td', {}, el('code', {}, name)), el('td', {}, typeOf(schema)), el('td', {}, doc ?? '')));
  return table;
};

const contents = (content) => Object.entries(content ?? {}).map(([kind, media]) => el('p', {}, el('code', {}, kind), ' ', media.schema ? typeOf(media.schema) : ''));

const operation = (method, path, op) => {
  const box = el('details', {}, el('summary', {}, el('span', { class: 'method' }, method.toUpperCase()), el('code', {}, path), ' ', el('span', { class: 'what' }, op.summary ?? '')));
  if (op.parameters?.length) box.append(el('h4', {}, 'Parameters'), rows(op.parameters.map((p) => [`${p.name} (${p.in}${p.required ? ', required' : ''})`, p.schema, p.description])));
  if (op.requestBody) box.append(el('h4', {}, 'Body'), ...contents(op.requestBody.content));
  for (const [status, response] of Object.entries(op.responses ?? {})) box.append(el('h4', {}, `${status} ${response.description ?? ''}`), ...contents(response.content));
  return box;
};

const main = document.getElementById('main');
fetch('/api/openapi.json')
  .then((answer) => answer.json())
  .then((doc) => {
    main.replaceChildren(el('p', {}, doc.info.description ?? ''));
    const tags = new Map();
    for (const [path, item] of Object.entries(doc.paths)) {
      for (const [method, op] of Object.entries(item)) {
        const tag = op.tags?.[0] ?? 'other';
        if (!tags.has(tag)) tags.set(tag, []);
        tags.get(tag).push(operation(method, path, op));
      }
    }
    for (const [tag, list] of tags) main.append(el('h2', {}, tag), ...list);
    main.append(el('h2', {}, 'Schemas'));
    for (const [name, schema] of Object.entries(doc.components.schemas)) {
      const required = new Set(schema.required ?? []);
      const fields = Object.entries(schema.properties ?? {}).map(([field, s]) => [field + (required.has(field) ? '' : '?'), s, s.description]);
      main.append(el('details', { id: name }, el('summary', {}, el('code', {}, name), ' ', el('span', { class: 'what' }, schema.description ?? '')), rows(fields)));
    }
    const open = () => document.getElementById(location.hash.slice(1))?.setAttribute('open', '');
    addEventListener('hashchange', open);
    open();
  })
  .catch((error) => main.replaceChildren(el('p', {}, 'The document could not be read: ' + error)));
