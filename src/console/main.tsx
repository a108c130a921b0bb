import { options, render } from 'preact';
import { App } from './app.tsx';
import { createLink } from './link/link.ts';
import { followRoute } from './route.ts';
import { startTheme } from './theme.ts';

// However many messages come, components render once per frame.
options.debounceRendering = (process) => void requestAnimationFrame(() => process());
startTheme();
render(<App link={createLink(location.origin)} route={followRoute()} />, document.getElementById('console')!);
