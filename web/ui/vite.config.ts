import react from '@vitejs/plugin-react';
import { defaultClientConditions } from 'vite';
import type { ProxyOptions } from 'vite';
import { defineConfig } from 'vitest/config';

const server = process.env['HOLDFAST_DEV_SERVER'] ?? 'http://127.0.0.1:8000';

// To the server, a page of the development server is one of its own: it takes no other origin.
const proxied: ProxyOptions = {
  target: server,
  changeOrigin: true,
  configure: (proxy) => {
    proxy.on('proxyReq', (request) => request.setHeader('origin', server));
    proxy.on('proxyReqWs', (request) => request.setHeader('origin', server));
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
