import { options, render } from 'preact';
import { Session } from './account/session.ts';
import { App } from './app.tsx';
import { createLink } from './link/link.ts';
import { followRoute } from './route.ts';
import { startTheme } from './theme.ts';

const link = createLink({ origin: location.origin });
// However many messages come, components render with everything else that draws.
options.debounceRendering = (process) => link.frames.mark(process);
startTheme();
const session = new Session(sessionStorage, localStorage);
render(<App link={link} session={session} route={followRoute()} />, document.getElementById('console')!);
