import type { FastifyError } from 'fastify';
import { expect, it } from 'vitest';
import { DatabaseFailure } from '../../platform/postgres-failure.ts';
import type { FailureKind } from '../../platform/postgres-failure.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import { wireOf } from './problem.ts';

it.each<[FailureKind, ErrorCode]>([
  ['unavailable', 'overloaded'],
  ['timeout', 'overloaded'],
  ['overloaded', 'overloaded'],
  ['stopped', 'overloaded'],
  ['conflict', 'conflict'],
  ['outcome_unknown', 'internal'],
])('a database that fails with %s is told as %s, as temporary, and without its insides', (kind, code) => {
  const failure = new DatabaseFailure(kind, 'connect ECONNREFUSED 10.0.0.7:5432');
  for (const error of [failure, new Error('Failed query: select 1', { cause: failure })]) {
    const wire = wireOf(error as FastifyError);
    expect(wire).toMatchObject({ code, temporary: true });
    expect(wire.message).not.toMatch(/ECONNREFUSED|select/);
  }
});
