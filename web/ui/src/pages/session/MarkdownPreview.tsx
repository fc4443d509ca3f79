import Markdown from 'react-markdown';
import remarkGfm from 'remark-gfm';
import { fileURL } from '../../api/endpoints';
import { resolveRelative } from '../../lib/preview';

interface Props {
  text: string;
  sessionId: string;
  path: string;
}

// Raw HTML in the file is shown as text, and images come only from the
// workspace: a report must not call home from a reader's browser.
export default function MarkdownPreview({ text, sessionId, path }: Props) {
  const inWorkspace = (href: string | undefined) => {
    const target = href === undefined ? null : resolveRelative(path, href);
    return target === null ? null : fileURL(sessionId, target);
  };
  return (
    <div className="markdown">
      <Markdown
        remarkPlugins={[remarkGfm]}
        components={{
          img: ({ src, alt }) => {
            const url = inWorkspace(typeof src === 'string' ? src : undefined);
            return url === null ? <span className="muted">[image {alt}]</span> : <img src={url} alt={alt ?? ''} />;
          },
          a: ({ href, children }) => <a href={inWorkspace(href) ?? href} target="_blank" rel="noopener noreferrer">{children}</a>,
        }}
      >
        {text}
      </Markdown>
    </div>
  );
}
