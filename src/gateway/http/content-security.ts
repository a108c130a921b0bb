/** For answers that are data: a browser that shows one must not do anything with it. */
export const DATA_POLICY = { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"] };

/** For our own pages: everything from here, nothing inline, sockets to here. */
export const PAGE_POLICY = {
  'default-src': ["'none'"],
  'base-uri': ["'none'"],
  'connect-src': ["'self'"],
  'font-src': ["'self'"],
  'form-action': ["'none'"],
  'frame-ancestors': ["'none'"],
  'img-src': ["'self'", 'data:'],
  'script-src': ["'self'"],
  'style-src': ["'self'"],
};

/** Swagger UI sets one style element of its own; its hash is the only inline style that any page may have. */
const SWAGGER_STYLE = "'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='";
export const SWAGGER_POLICY = { ...PAGE_POLICY, 'style-src': ["'self'", SWAGGER_STYLE] };
