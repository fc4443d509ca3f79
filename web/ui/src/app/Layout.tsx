import { Button } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { Link, Outlet, useRouterState } from '@tanstack/react-router';
import { useEffect, useRef } from 'react';
import { ColorSchemeToggle } from '../components/ColorSchemeToggle';
import { ConnectionIndicator } from '../components/ConnectionIndicator';
import { ErrorBoundary } from '../components/ErrorBoundary';
import { Mark } from '../components/Mark';
import { ServerBanner } from '../components/ServerBanner';

export function Layout() {
  const path = useRouterState({ select: (state) => state.location.pathname });
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  // A page change moves the focus to the new page, as a full load would.
  useEffect(() => {
    if (first.current) first.current = false;
    else main.current?.focus();
  }, [path]);
  return (
    <div className="shell">
      <a className="skip" href="#main">Skip to content</a>
      <header className="topbar">
        <Link to="/" className="brand" aria-label="Holdfast, sessions">
          <Mark />
          <span>Holdfast</span>
        </Link>
        <nav aria-label="Main">
          <Link to="/" className="navlink" activeOptions={{ exact: true, includeSearch: false }}>Sessions</Link>
        </nav>
        <div className="topbar-end">
          <ConnectionIndicator />
          <ColorSchemeToggle />
          {path !== '/new' && (
            <Button renderRoot={(props) => <Link to="/new" {...props} />} leftSection={<IconPlus size={14} aria-hidden />} className="new-button">
              <span className="new-long">New session</span>
              <span className="new-short">New</span>
            </Button>
          )}
        </div>
      </header>
      <ServerBanner />
      <main id="main" ref={main} tabIndex={-1}>
        <ErrorBoundary key={path}>
          <Outlet />
        </ErrorBoundary>
      </main>
    </div>
  );
}
