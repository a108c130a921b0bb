import { describe, expect, it } from 'vitest';
import { isWeakPassword } from './password-rules.ts';

const EMAIL = 'ada.lovelace@example.com';

describe('a password that a guesser comes to soon', () => {
  it.each([
    'short1!',
    'password1',
    'Password123!',
    'P@ssw0rd2026',
    'tidewire2026',
    'Tidewire!2026',
    'T1dew1re2026',
    '12345678',
    '1234567890',
    'aaaaaaaaaaaa',
    'abababababab',
    'abcd1234',
    'qwertyuiop',
    'qwerty123',
    '1q2w1q2w1q2w',
    'iloveyou1',
    'letmein123',
    'welcome2026',
    'admin12345',
    'Bitcoin2026!',
    'lovelace99',
    'Ada.Lovelace1',
    'passwordpassword',
    'password\u00001',
    '        ',
    'Summer2026!',
    'asdfghjkl1',
    '87654321',
    'ｐａｓｓｗｏｒｄ１',
  ])('is refused: %s', (password) => {
    expect(isWeakPassword(password, EMAIL)).toBe(true);
  });

  it.each([
    'correct horse battery staple',
    'xK9#mQ2$vL',
    'seven blue horses over a wall',
    'Ünïcödé-Gëhëïmnïs',
    '雨が降ると傘を忘れる人',
    '🐎🔋📎✅🌊🎺🧲🪐',
    'tidewire is where my plovers land',
    `${'ab7'.repeat(3)}x-${'q'.repeat(200)}zw!kd9`,
  ])('is not: %s', (password) => {
    expect(isWeakPassword(password, EMAIL)).toBe(false);
  });

  it('is looked at quickly, whatever it is', () => {
    for (const password of ['a'.repeat(256), 'ab'.repeat(128), 'abc123!'.repeat(36), ' '.repeat(256)])
      isWeakPassword(password, `${'a.'.repeat(120)}@b.cd`);
    expect(isWeakPassword('x'.repeat(100_000), EMAIL)).toBe(true);
  });
});
