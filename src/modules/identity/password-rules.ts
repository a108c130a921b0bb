const LENGTH_MIN = 8;
const LENGTH_MAX = 256;
/** What is left of a password once words that everybody tries first are taken out must be worth this much. */
const REMAINDER_MIN = 6;
const DISTINCT_MIN = 5;
/** From here on ordinary words are fine, because nobody can try their combinations. */
const PASSPHRASE_LENGTH = 20;

/** The heads of the public lists of leaked passwords, and words that belong here. Lower case, letters only. */
const WORDS =
  `tidewire password passwort passw0rd motdepasse contrasena senha wachtwoord parola qwerty qwertz azerty qwertyuiop
asdfgh asdfghjkl zxcvbn zxcvbnm qazwsx qweasd letmein welcome willkommen iloveyou ilove admin administrator root login master
secret changeme default temp test guest user monkey dragon sunshine princess football baseball basketball superman batman
starwars pokemon shadow michael jennifer jordan hunter ranger soccer hockey killer charlie freedom whatever trustno ninja
mustang access flower computer internet samsung google facebook cookie cheese summer winter spring autumn january february
march april june july august september october november december monday tuesday wednesday thursday friday saturday sunday
bitcoin ethereum crypto trading trader binance coinbase kraken wallet satoshi hodl tothemoon money dollar
million billion abc abcd abcdef abcdefgh`
    .split(/\s+/)
    .toSorted((a, b) => b.length - a.length);
const RUNS = [
  '01234567890',
  'abcdefghijklmnopqrstuvwxyz',
  'qwertyuiop',
  'asdfghjkl',
  'zxcvbnm',
  'qwertzuiop',
  'azertyuiop',
];
const RUN_MIN = 3;
const LEET: Readonly<Record<string, string>> = {
  '0': 'o',
  '1': 'i',
  '3': 'e',
  '4': 'a',
  '5': 's',
  '7': 't',
  '@': 'a',
  $: 's',
  '!': 'i',
};

/**
 * Would a guesser come to it soon? Takes out words, the address, keyboard runs, years and repeats, also as they are written
 * with digits for letters, and looks at how much is left. Long passphrases of ordinary words pass.
 */
export function isWeakPassword(password: string, email: string): boolean {
  if (password.length < LENGTH_MIN || password.length > LENGTH_MAX) return true;
  const plain = password.normalize('NFKC').toLowerCase();
  const unit = /^(.+?)\1+$/su.exec(plain)?.[1] ?? plain;
  if (new Set(unit).size < DISTINCT_MIN) return true;
  if (unit.length >= PASSPHRASE_LENGTH) return false;
  const own = email
    .toLowerCase()
    .split(/[@.+_-]/)
    .filter((word) => word.length >= 3);
  return [unit, unleet(unit)].some((text) => remainder(text, own).length < REMAINDER_MIN);
}

function unleet(text: string): string {
  return text.replace(/[013457@$!]/g, (letter) => LEET[letter] ?? letter);
}

function remainder(text: string, own: readonly string[]): string {
  let left = text;
  for (const word of [...own, ...WORDS]) left = left.split(word).join(' ');
  left = left.replace(/(?:19|20)[0-9]{2}/g, ' ').replace(/(.)\1{2,}/gu, '$1');
  for (const run of RUNS) left = withoutRuns(left, run, run.split('').toReversed().join(''));
  return left.replace(/[^\p{L}\p{N}\p{S}\p{M}]/gu, '');
}

function withoutRuns(text: string, ...runs: readonly string[]): string {
  let left = text;
  for (const run of runs) {
    for (let length = run.length; length >= RUN_MIN; length--) {
      for (let start = 0; start + length <= run.length; start++)
        left = left.split(run.slice(start, start + length)).join(' ');
    }
  }
  return left;
}
