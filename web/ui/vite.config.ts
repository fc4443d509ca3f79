import type { ClientRequest, IncomingMessage } from 'node:http';
import react from '@vitejs/plugin-react';
import { defaultClientConditions } from 'vite';
import type { ProxyOptions } from 'vite';
import { defineConfig } from 'vitest/config';

const server = new URL(process.env['HOLDFAST_DEV_SERVER'] ?? 'http://127.0.0.1:8000').origin;

// The server takes requests of its own pages only, to which those of the development server are made to belong. A page of
// any other site keeps its own origin, and is refused.
function asOwnPage(request: ClientRequest, from: IncomingMessage): void {
  const host = from.headers.host ?? '';
  if (/^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(host) && from.headers.origin === `http://${host}`) request.setHeader('origin', server);
}

const proxied: ProxyOptions = {
  target: server,
  changeOrigin: true,
  configure: (proxy) => {
    proxy.on('proxyReq', asOwnPage);
    proxy.on('proxyReqWs', asOwnPage);
  },
};

export default defineConfig({
  plugins: [react()],
  // @holdfast/client is built from its source along with the UI.
  resolve: { conditions: ['source', ...defaultClientConditions] },
  server: {
    proxy: {
      '/api': proxied,
      '/ws': { ...proxied, ws: true },
    },
  },
  build: {
    // public/.gitkeep is copied back, so a build leaves git's view of dist/ unchanged.
    emptyOutDir: true,
    target: 'es2022',
    chunkSizeWarningLimit: 900,
  },
  test: {
    include: ['src/**/*.test.{ts,tsx}'],
    environment: 'node',
  },
});
