import react from '@vitejs/plugin-react';
import { defaultClientConditions } from 'vite';
import { defineConfig } from 'vitest/config';

const server = process.env['HOLDFAST_DEV_SERVER'] ?? 'http://127.0.0.1:8000';

export default defineConfig({
  plugins: [react()],
  // @holdfast/client is built from its source along with the UI.
  resolve: { conditions: ['source', ...defaultClientConditions] },
  server: {
    proxy: {
      '/api': server,
      '/ws': { target: server, ws: true },
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
