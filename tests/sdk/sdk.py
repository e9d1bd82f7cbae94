"""Scalekit's own SDK for Python, driven line by line.

The first line of standard input is {"url", "client", "secret"}; every further line is a request {"call", "with"}
and gets one JSON line: {"ok": ...} or {"error": {"class", "http", "code", "message"}}. Messages are shown as
ProtoJSON, which is the same from every language. The SDK calls gRPC in TLS only, so the environment must name the
certificate authority: GRPC_DEFAULT_SSL_ROOTS_FILE_PATH and REQUESTS_CA_BUNDLE.
"""

import json
import sys
import time

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from scalekit import ScalekitClient
from scalekit.common.scalekit import (
    AuthorizationUrlOptions,
    CodeAuthenticationOptions,
    LogoutUrlOptions,
    TokenValidationOptions,
)
from scalekit.sessions import SessionsClient
from scalekit.v1.organizations.organizations_pb2 import CreateOrganization, UpdateOrganization
from scalekit.v1.users.users_pb2 import CreateMembership, CreateUser, UpdateMembership, UpdateUser


def shown(answer):
    # Every call of the management API gives the message and the call it came by.
    if isinstance(answer, tuple):
        answer = answer[0]
    return MessageToDict(answer) if isinstance(answer, Message) else answer


def membership(kind, roles=(), metadata=None):
    return kind(roles=[{"name": role} for role in roles], metadata=metadata or {})


class Calls:
    def __init__(self, scalekit):
        self.scalekit = scalekit
        self.organizations, self.users, self.sessions = scalekit.organization, scalekit.users, scalekit.sessions

    def create_organization(self, name, **options):
        wanted = ParseDict({"displayName": name, **options}, CreateOrganization())
        return self.organizations.create_organization(wanted)

    def get_organization(self, id):
        return self.organizations.get_organization(id)

    def get_organization_by_external_id(self, id):
        return self.organizations.get_organization_by_external_id(id)

    def list_organizations(self, pageSize=None, pageToken=None):
        return self.organizations.list_organizations(pageSize, pageToken)

    def update_organization(self, id, changes):
        return self.organizations.update_organization(id, ParseDict(changes, UpdateOrganization()))

    def update_organization_by_external_id(self, id, changes):
        changes = ParseDict(changes, UpdateOrganization())
        return self.organizations.update_organization_by_external_id(id, changes)

    def delete_organization(self, id):
        return self.organizations.delete_organization(id)

    def create_user(self, organization, user, invite):
        wanted = ParseDict(user, CreateUser())
        return self.users.create_user_and_membership(organization, wanted, send_invitation_email=invite)

    def get_user(self, id):
        return self.users.get_user(id)

    def get_user_by_external_id(self, id):
        return self.users.get_user_by_external_id(id)

    def list_users(self, pageSize=None, pageToken=None):
        return self.users.list_users(pageSize, pageToken)

    def list_organization_users(self, organization, pageSize=None, pageToken=None):
        return self.users.list_organization_users(organization, pageSize, pageToken)

    def update_user(self, id, changes):
        return self.users.update_user(id, ParseDict(changes, UpdateUser()))

    def update_user_by_external_id(self, id, changes):
        return self.users.update_user_by_external_id(id, ParseDict(changes, UpdateUser()))

    def delete_user(self, id):
        return self.users.delete_user(id)

    def delete_user_by_external_id(self, id):
        return self.users.delete_user_by_external_id(id)

    def create_membership(self, organization, id, invite, **wanted):
        wanted = membership(CreateMembership, **wanted)
        return self.users.create_membership(organization, id, wanted, send_invitation_email=invite)

    def update_membership(self, organization, id, **wanted):
        return self.users.update_membership(organization, id, membership(UpdateMembership, **wanted))

    def delete_membership(self, organization, id):
        return self.users.delete_membership(organization, id)

    def resend_invite(self, organization, id):
        return self.users.resend_invite(organization, id)

    def list_user_roles(self, organization, id):
        return self.users.list_user_roles(organization, id)

    def list_roles(self):
        return self.scalekit.roles.list_roles()

    def get_session(self, id):
        return self.sessions.get_session(id)

    def list_sessions(self, user, status):
        start, end = Timestamp(seconds=0), Timestamp(seconds=int(time.time()) + 60)
        return self.sessions.get_user_sessions(user, filter=SessionsClient.create_session_filter(status, start, end))

    def revoke_session(self, id):
        return self.sessions.revoke_session(id)

    def revoke_all_sessions(self, user):
        return self.sessions.revoke_all_user_sessions(user)

    def authorization_url(self, redirectUri, state=None, nonce=None, loginHint=None, scopes=None):
        options = AuthorizationUrlOptions()
        options.state, options.nonce, options.login_hint, options.scopes = state, nonce, loginHint, scopes
        return self.scalekit.get_authorization_url(redirectUri, options)

    def exchange(self, code, redirectUri, codeVerifier=None):
        options = CodeAuthenticationOptions()
        options.code_verifier = codeVerifier
        found = self.scalekit.authenticate_with_code(code, redirectUri, options)
        names = {"id_token": "idToken", "access_token": "accessToken", "refresh_token": "refreshToken"}
        return {names.get(name, name): value for name, value in found.items()}

    def refresh(self, token):
        found = self.scalekit.refresh_access_token(token)
        return {"accessToken": found["access_token"], "refreshToken": found["refresh_token"]}

    def claims(self, token, issuer, audience):
        options = TokenValidationOptions(issuer=issuer, audience=audience)
        return self.scalekit.validate_token(token, options)

    def logout_url(self, idTokenHint=None, postLogoutRedirectUri=None, state=None):
        return self.scalekit.get_logout_url(LogoutUrlOptions(idTokenHint, postLogoutRedirectUri, state))


def refusal(error):
    http = getattr(error, "http_status", None)
    return {
        "class": type(error).__name__,
        "http": http and int(http),
        "code": getattr(error, "error_code", None),
        "message": str(getattr(error, "message", None) or error),
    }


def main():
    start = json.loads(sys.stdin.readline())
    calls = Calls(ScalekitClient(start["url"], start["client"], start["secret"]))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": shown(getattr(calls, request["call"])(**request["with"]))}
        except Exception as error:  # whatever the SDK throws is an answer to the test
            answer = {"error": refusal(error)}
        print(json.dumps(answer), flush=True)


main()
