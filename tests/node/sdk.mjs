// Scalekit's own SDK for Node, driven line by line: one JSON request {"call", "with"} on standard input, one JSON
// answer on standard output: {"ok": …} or {"error": {"class", "http", "code", "message"}}. Messages are shown as
// ProtoJSON, which is the same from every language. The environment's address, the client's id and its secret come
// as the first line.
import { createInterface } from 'node:readline';

import { createRegistry, toJson } from '@bufbuild/protobuf';
import sdk from '@scalekit-sdk/node';
import organizations from '@scalekit-sdk/node/lib/pkg/grpc/scalekit/v1/organizations/organizations_pb.js';
import sessions from '@scalekit-sdk/node/lib/pkg/grpc/scalekit/v1/sessions/sessions_pb.js';
import users from '@scalekit-sdk/node/lib/pkg/grpc/scalekit/v1/users/users_pb.js';

const files = [organizations, sessions, users].flatMap((module) =>
  Object.entries(module).filter(([name]) => name.startsWith('file_')).map(([, file]) => file),
);
const registry = createRegistry(...files);

function shown(answer) {
  const schema = answer?.$typeName && registry.getMessage(answer.$typeName);
  return schema ? toJson(schema, answer, { registry }) : (answer ?? null);
}

const calls = (scalekit) => ({
  create_organization: ({ name, ...options }) => scalekit.organization.createOrganization(name, options),
  get_organization: ({ id }) => scalekit.organization.getOrganization(id),
  get_organization_by_external_id: ({ id }) => scalekit.organization.getOrganizationByExternalId(id),
  list_organizations: (options) => scalekit.organization.listOrganization(options),
  search_organizations: ({ query, pageSize, pageToken }) =>
    scalekit.organization.searchOrganization(query, pageSize, pageToken),
  update_organization: ({ id, changes }) => scalekit.organization.updateOrganization(id, changes),
  update_organization_by_external_id: ({ id, changes }) =>
    scalekit.organization.updateOrganizationByExternalId(id, changes),
  delete_organization: ({ id }) => scalekit.organization.deleteOrganization(id),

  create_user: ({ organization, invite, user }) =>
    scalekit.user.createUserAndMembership(organization, { ...user, sendInvitationEmail: invite ?? undefined }),
  get_user: ({ id }) => scalekit.user.getUser(id),
  get_user_by_external_id: ({ id }) => scalekit.user.getUserByExternalId(id),
  list_users: (options) => scalekit.user.listUsers(options),
  list_organization_users: ({ organization, ...options }) =>
    scalekit.user.listOrganizationUsers(organization, options),
  search_users: ({ query, pageSize, pageToken }) => scalekit.user.searchUsers(query, pageSize, pageToken),
  search_organization_users: ({ organization, query }) => scalekit.user.searchOrganizationUsers(organization, query),
  update_user: ({ id, changes }) => scalekit.user.updateUser(id, changes),
  update_user_by_external_id: ({ id, changes }) => scalekit.user.updateUserByExternalId(id, changes),
  delete_user: ({ id }) => scalekit.user.deleteUser(id),
  delete_user_by_external_id: ({ id }) => scalekit.user.deleteUserByExternalId(id),

  create_membership: ({ organization, id, invite, roles, metadata }) =>
    scalekit.user.createMembership(organization, id, { roles, metadata, sendInvitationEmail: invite }),
  update_membership: ({ organization, id, roles, metadata }) =>
    scalekit.user.updateMembership(organization, id, { roles, metadata }),
  delete_membership: ({ organization, id }) => scalekit.user.deleteMembership(organization, id),
  resend_invite: ({ organization, id }) => scalekit.user.resendInvite(organization, id),
  list_user_roles: ({ organization, id }) => scalekit.user.listUserRoles(organization, id),

  list_roles: () => scalekit.role.listRoles(),

  get_session: ({ id }) => scalekit.session.getSession(id),
  list_sessions: ({ user, status }) =>
    scalekit.session.getUserSessions(user, {
      filter: { status, startTime: new Date(0), endTime: new Date(Date.now() + 60_000) },
    }),
  revoke_session: ({ id }) => scalekit.session.revokeSession(id),
  revoke_all_sessions: ({ user }) => scalekit.session.revokeAllUserSessions(user),

  authorization_url: ({ redirectUri, ...options }) => scalekit.getAuthorizationUrl(redirectUri, options),
  exchange: ({ code, redirectUri, codeVerifier }) => scalekit.authenticateWithCode(code, redirectUri, { codeVerifier }),
  refresh: ({ token }) => scalekit.refreshAccessToken(token),
  claims: ({ token, issuer, audience }) => scalekit.validateToken(token, { issuer, audience }),
  logout_url: (options) => scalekit.getLogoutUrl(options),
});

function refusal(error) {
  return { class: error.constructor.name, http: error.httpStatus, code: error.errorCode, message: error.message };
}

let table;
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (!table) {
    table = calls(new sdk.ScalekitClient(request.url, request.client, request.secret));
    continue;
  }
  let answer;
  try {
    answer = { ok: shown(await table[request.call](request.with)) };
  } catch (error) {
    answer = { error: refusal(error) };
  }
  console.log(JSON.stringify(answer));
}
process.exit(0);
