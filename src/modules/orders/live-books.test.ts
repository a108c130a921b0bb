import { expect, it } from 'vitest';
import { createMetrics } from '../../platform/metrics.ts';
import { createLiveBooks } from './live-books.ts';
