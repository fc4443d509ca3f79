import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import { NotFound } from '../components/NotFound';
import { PageError } from '../components/PageError';
import { PageSkeleton } from '../components/PageSkeleton';
import { SESSION_TABS } from '../lib/sessionTabs';
import type { SessionSearch } from '../lib/sessionTabs';
import { STATUSES } from '../lib/statuses';
import { SessionsPage } from '../pages/list/SessionsPage';
import { Layout } from './Layout';

export interface ListSearch {
  q?: string;
  status?: string;
}

export interface NewSearch {
  example?: string;
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

const rootRoute = createRootRoute({ component: Layout, notFoundComponent: () => <NotFound /> });

const listRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/',
  validateSearch: (search: Record<string, unknown>): ListSearch => {
    const status = text(search['status']);
    return { q: text(search['q']), status: STATUSES.some((s) => s === status) ? status : undefined };
  },
  component: SessionsPage,
});

const newRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/new',
  validateSearch: (search: Record<string, unknown>): NewSearch => ({ example: text(search['example']) }),
  component: lazyRouteComponent(() => import('../pages/create/NewSessionPage'), 'NewSessionPage'),
});

const sessionRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/sessions/$id',
  validateSearch: (search: Record<string, unknown>): SessionSearch => ({
    tab: SESSION_TABS.find((tab) => tab === search['tab']),
    run: Number.isInteger(search['run']) && Number(search['run']) > 0 ? Number(search['run']) : undefined,
    step: search['step'] === undefined ? undefined : String(search['step']),
    file: search['file'] === undefined ? undefined : String(search['file']),
  }),
  component: lazyRouteComponent(() => import('../pages/session/SessionPage'), 'SessionPage'),
});

export const router = createRouter({
  routeTree: rootRoute.addChildren([listRoute, newRoute, sessionRoute]),
  defaultPendingComponent: PageSkeleton,
  defaultErrorComponent: ({ error, reset }) => <PageError error={error} onRetry={reset} />,
  defaultNotFoundComponent: () => <NotFound />,
  defaultPreload: 'intent',
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
