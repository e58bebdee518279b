import { svelte } from '@sveltejs/vite-plugin-svelte';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vite';

/** What the page is built from, as a digest that the built page carries; a test in Python makes the same. */
function sources(): string {
  const files = readdirSync('src', { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`);
  const digest = createHash('sha256');
  for (const file of [...files, 'index.html', 'package-lock.json', 'svelte.config.js', 'vite.config.ts'].sort()) {
    digest.update(`${file}\0`).update(readFileSync(file)).update('\0');
  }
  return digest.digest('hex');
}

// A page opened from a disk may load a plain script, and no module.
const page: Plugin = {
  name: 'page',
  transformIndexHtml: {
    order: 'post',
    handler: (html) => ({
      html: html.replace('type="module" crossorigin', 'defer').replace(' crossorigin href', ' href'),
      tags: [{ tag: 'meta', attrs: { name: 'built-from', content: sources() } }],
    }),
  },
};

// One script and one style sheet with fixed names: they are served, put into a report, or opened from a disk all the same.
export default defineConfig({
  base: './',
  plugins: [svelte(), page],
  build: {
    outDir: '../src/pellucid/web/page',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: false,
    assetsInlineLimit: 1_000_000,
    cssCodeSplit: false,
    rollupOptions: {
      output: { format: 'iife', entryFileNames: 'app.js', assetFileNames: 'app.[ext]' },
    },
  },
});
