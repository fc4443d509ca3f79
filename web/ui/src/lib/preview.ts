export type PreviewKind = 'image' | 'csv' | 'tsv' | 'markdown' | 'json' | 'text' | 'none';

const BY_EXTENSION: Record<string, PreviewKind> = {
  svg: 'image', png: 'image', jpg: 'image', jpeg: 'image', gif: 'image', webp: 'image',
  csv: 'csv', tsv: 'tsv', md: 'markdown', markdown: 'markdown', json: 'json',
};

// How a file is shown: by its name first, then by its media type.
export function previewKind(path: string, mediaType: string | undefined): PreviewKind {
  const extension = /\.([^./]+)$/.exec(path.toLowerCase())?.[1] ?? '';
  const known = BY_EXTENSION[extension];
  if (known !== undefined) return known;
  const type = (mediaType ?? '').split(';')[0] ?? '';
  if (type.startsWith('image/')) return 'image';
  if (type === 'application/json') return 'json';
  if (type.startsWith('text/') || /(?:javascript|xml|yaml|toml|x-sh|python)$/.test(type)) return 'text';
  return /^(?:py|sh|txt|log|go|js|ts|c|h|r|yaml|yml|toml|ini|tex|dat|out|err)$/.test(extension) ? 'text' : 'none';
}

// A relative address in a Markdown file, as a path in the workspace; null when
// it is not one.
export function resolveRelative(fromPath: string, href: string): string | null {
  if (/^[a-z][a-z0-9+.-]*:|^\/|^#/i.test(href)) return null;
  const parts = fromPath.split('/').slice(0, -1);
  for (const part of href.split(/[?#]/)[0]?.split('/') ?? []) {
    if (part === '..') {
      if (parts.pop() === undefined) return null;
    } else if (part !== '.' && part !== '') parts.push(part);
  }
  return parts.join('/');
}
