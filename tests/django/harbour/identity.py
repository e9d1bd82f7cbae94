"""Believes the identity that a proxy puts into the request's head.

The work is done by Django's own RemoteUserBackend: it finds or makes the user and refuses an inactive one.
Unlike Django's RemoteUserMiddleware nothing is written to a session: the field counts for this one request, so
that the identity ends with the request that the proxy vouched for.
"""

from django.contrib.auth.backends import RemoteUserBackend
from django.contrib.auth.models import AnonymousUser

USER_FIELD = "HTTP_X_FORWARDED_USER"
EMAIL_FIELD = "HTTP_X_FORWARDED_EMAIL"


class ForwardedUserBackend(RemoteUserBackend):
    def configure_user(self, request, user, created=True):
        if created:
            user.email = request.META.get(EMAIL_FIELD, "")
            user.set_unusable_password()
            user.save(update_fields=["email", "password"])
        return user


class ForwardedIdentityMiddleware:
    def __init__(self, get_response):
        self.get_response = get_response
        self.backend = ForwardedUserBackend()

    def __call__(self, request):
        name = request.META.get(USER_FIELD)
        if name:
            request.user = self.backend.authenticate(request, remote_user=name) or AnonymousUser()
        return self.get_response(request)
