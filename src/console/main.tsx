import { options, render } from 'preact';
import { App } from './app.tsx';
import { createLink } from './link/link.ts';
import { followRoute } from './route.ts';
import { startTheme } from './theme.ts';

const link = createLink(location.origin);
// However many messages come, components render with everything else that draws.
options.debounceRendering = (process) => link.frames.mark(process);
startTheme();
render(<App link={link} route={followRoute()} />, document.getElementById('console')!);
