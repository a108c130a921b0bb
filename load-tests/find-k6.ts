// Prints where k6 is, after building it where it is not there yet. Exit code 1: it is not to be had, and why.
import { findK6 } from './lib/k6-path.ts';

const k6 = findK6(process.env);
if (k6.ok) console.log(k6.path);
else {
  console.error(k6.message);
  process.exitCode = 1;
}
