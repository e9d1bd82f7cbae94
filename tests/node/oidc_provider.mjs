// A certified OpenID provider in Scalekit's place, for the code flow: what Crossfade sends is judged by an
// implementation that is not ours. The paths, the RS256 JWT tokens and the form-posted client secret are
// Scalekit's; PKCE is required, any password passes, and consent is given without a page.
//
// Usage: node oidc_provider.mjs PORT < settings.json       (port 0: the system chooses)
//
//   { "clients": [{ "client_id", "client_secret", "redirect_uris": […], "post_logout_redirect_uris": […] }],
//     "people": { "what is typed as login": { "sub", "email", "email_verified", "name", "xuid", "oid" } },
//     "access_token_seconds": 300 }
//
// A login that is not among the people becomes one whose `sub` is the login. Prints {"listening", "issuer"} once
// it listens. Side doors, for the test only:
//   POST /__test/rotate   new signing key; ?keep_old=false takes the old one out of the key set
//   GET  /__test/journal  what was asked, oldest first, without secrets
//   PUT  /__test/people   replaces the people

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import Provider, { errors } from 'oidc-provider';
import { Memory } from './memory.mjs';

const settings = await json(process.stdin);
const people = new Map(Object.entries(settings.people ?? {}));
const journal = [];
const accessTokenSeconds = settings.access_token_seconds ?? 300;
const scopes = ['openid', 'email', 'profile', 'offline_access'];

// The authorize parameters of Scalekit's own that the standard does not know.
const scalekitParameters = ['organization_id', 'connection_id', 'provider', 'domain_hint'];

// The library drops `offline_access` unless consent was asked for; Scalekit gives a refresh token whenever the
// scope asks for one. So the code challenges of requests that did are remembered here.
const wantRefresh = new Set();

function claimsOf(login) {
  const person = people.get(login) ?? {};
  const email = person.email ?? (login.includes('@') ? login : `${login}@example.com`);
  return { sub: person.sub ?? login, email, email_verified: true, name: login, ...person };
}

// Sessions, grants and tokens keep what was typed as the account's id; `sub` may be another word.
function accountFor(login) {
  return { accountId: login, claims: async () => claimsOf(login) };
}

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: `snk_${randomUUID()}`, use: 'sig', alg: 'RS256' };
}

function configuration(keys) {
  return {
    adapter: Memory,
    jwks: { keys },
    clients: settings.clients.map((client) => ({
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_post',
      subject_type: 'pairwise',
      ...client,
    })),
    // What is typed is not the subject: the library's pairwise subjects let a test choose it.
    subjectTypes: ['pairwise'],
    pairwiseIdentifier: (context, login) => claimsOf(login).sub,
    cookies: { keys: ['only-for-tests'] },
    pkce: { required: () => true },
    scopes,
    claims: { openid: ['sub', 'sid', 'oid', 'xuid'], email: ['email', 'email_verified'], profile: ['name'] },
    conformIdTokenClaims: false,
    extraParams: scalekitParameters,
    routes: {
      authorization: '/oauth/authorize',
      token: '/oauth/token',
      jwks: '/keys',
      end_session: '/oidc/logout',
      userinfo: '/userinfo',
    },
    ttl: { AccessToken: accessTokenSeconds },
    rotateRefreshToken: true,
    features: {
      devInteractions: { enabled: true },
      rpInitiatedLogout: { enabled: true, logoutSource: signOutAtOnce },
      // With a default resource the access token becomes a JWT, as Scalekit's is.
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:scalekit',
        useGrantedResource: () => true,
        getResourceServerInfo: (context, resource, client) => ({
          scope: scopes.join(' '),
          audience: client.clientId,
          accessTokenFormat: 'jwt',
          accessTokenTTL: accessTokenSeconds,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    extraTokenClaims: (context, token) => {
      const { oid, xuid } = claimsOf(token.accountId);
      return { sid: token.sessionUid, client_id: token.clientId, oid, xuid };
    },
    findAccount: (context, login) => accountFor(login),
    loadExistingGrant,
    issueRefreshToken: (context, client, code) => wantRefresh.has(code.codeChallenge),
  };
}

// Every client is a first party: what it asks for is granted.
async function loadExistingGrant(context) {
  const { client, session, provider, params, result } = context.oidc;
  const known = result?.consent?.grantId ?? session.grantIdFor(client.clientId);
  const grant =
    (known && (await provider.Grant.find(known))) ||
    new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(params.scope ?? 'openid');
  grant.addResourceScope('urn:scalekit', scopes.join(' '));
  await grant.save();
  return grant;
}

// The library asks "do you want to sign out?"; Scalekit does not.
function signOutAtOnce(context, form) {
  context.body = `<!doctype html><title>Signing out</title>${form}
    <script>
      const yes = Object.assign(document.createElement('input'), { type: 'hidden', name: 'logout', value: 'yes' });
      document.forms[0].append(yes);
      document.forms[0].submit();
    </script>`;
}

function note(event, context, error) {
  const params = context.oidc?.params ?? {};
  const shown = ['client_id', 'redirect_uri', 'scope', 'login_hint', 'prompt', ...scalekitParameters];
  journal.push({
    event,
    grant_type: params.grant_type,
    error: error?.error,
    error_detail: error?.error_detail ?? error?.error_description,
    state: Boolean(params.state),
    nonce: Boolean(params.nonce),
    pkce: params.code_challenge_method ?? (params.code_verifier ? 'verifier' : undefined),
    params: Object.fromEntries(shown.filter((name) => params[name] !== undefined).map((name) => [name, params[name]])),
  });
}

function build(issuer, keys) {
  const provider = new Provider(issuer, configuration(keys));
  provider.on('authorization.success', (context) => note('authorize.success', context));
  provider.on('authorization.error', (context, error) => note('authorize.error', context, error));
  provider.on('grant.success', (context) => note('token.success', context));
  provider.on('grant.error', (context, error) => note('token.error', context, error));
  provider.on('end_session.success', (context) => note('logout', context));
  provider.on('server_error', (context, error) => {
    if (!(error instanceof errors.OIDCProviderError)) console.error(error);
  });
  return provider.callback();
}

const server = createServer();
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1');
await once(server, 'listening');
const listening = `127.0.0.1:${server.address().port}`;
const issuer = settings.issuer ?? `http://${listening}`;

let keys = [newKey()];
let answer = build(issuer, keys);

async function sideDoor(request, response) {
  const url = new URL(request.url, issuer);
  const send = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  switch (`${request.method} ${url.pathname}`) {
    case 'POST /__test/rotate':
      keys = [newKey(), ...(url.searchParams.get('keep_old') === 'false' ? [] : keys)];
      answer = build(issuer, keys);
      return send(200, { signing_key: keys[0].kid, keys: keys.map((key) => key.kid) });
    case 'GET /__test/journal':
      return send(200, journal);
    case 'PUT /__test/people': {
      const replaced = Object.entries(await json(request));
      people.clear();
      for (const [login, person] of replaced) people.set(login, person);
      return send(200, { people: people.size });
    }
    default:
      return send(404, { error: 'no such side door' });
  }
}

function remember(request) {
  const url = new URL(request.url, issuer);
  if (url.pathname !== '/oauth/authorize') return;
  const params = Object.fromEntries(url.searchParams);
  note('authorize.asked', { oidc: { params } });
  if (params.scope?.split(' ').includes('offline_access')) wantRefresh.add(params.code_challenge);
}

server.on('request', (request, response) => {
  if (!request.url.startsWith('/__test/')) {
    remember(request);
    answer(request, response);
    return;
  }
  sideDoor(request, response).catch((error) => {
    response.writeHead(400);
    response.end(String(error));
  });
});
console.log(JSON.stringify({ listening, issuer }));
