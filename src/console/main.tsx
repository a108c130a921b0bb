import { render } from 'preact';
import { Session } from './account/session.ts';
import { App } from './app.tsx';
import { createLink } from './link/link.ts';
import { followRoute } from './route.ts';
import { startTheme } from './theme.ts';

const link = createLink({ origin: location.origin });
startTheme();
const session = new Session(sessionStorage, localStorage);
render(<App link={link} session={session} route={followRoute()} />, document.getElementById('console')!);
