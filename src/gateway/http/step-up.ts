import type { FastifyRequest } from 'fastify';
import { z } from 'zod';

/** For the document: headers that no route names are allowed as well. */
export const StepUpHeader = z.looseObject({
  'x-step-up-token': z
    .string()
    .max(512)
    .optional()
    .meta({ description: 'from POST /v1/auth/step-up, for this very request' }),
});

/** Empty when there is none, which confirms nothing. */
export function stepUpTokenOf(request: FastifyRequest): string {
  const token = request.headers['x-step-up-token'];
  return typeof token === 'string' ? token : '';
}
