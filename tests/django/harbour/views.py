"""The site's pages, and a few doors through which tests see what reached it."""

import hashlib
import threading
from collections import defaultdict

from django.contrib.auth.decorators import login_required
from django.http import JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt


@never_cache
@login_required
def home(request):
    return render(request, "home.html")


@never_cache
@login_required
def berth(request, number):
    """A page deep in the site, for return targets."""
    return render(request, "home.html", {"berth": number})


@never_cache
def who_am_i(request):
    if not request.user.is_authenticated:
        return JsonResponse({"error": "anonymous"}, status=401)
    return JsonResponse(
        {
            "id": request.user.pk,
            "username": request.user.get_username(),
            "email": request.user.email,
            "is_active": request.user.is_active,
        }
    )


@never_cache
def identity(request):
    """What the proxy said about the person. The assertion is a credential: only its presence is shown."""
    return JsonResponse(
        {
            "x_forwarded_user": request.headers.get("X-Forwarded-User"),
            "x_forwarded_email": request.headers.get("X-Forwarded-Email"),
            "x_forwarded_groups": request.headers.get("X-Forwarded-Groups"),
            "x_crossfade_assertion": "X-Crossfade-Assertion" in request.headers,
            "signed_in_as": request.user.get_username() or None,
        }
    )


@csrf_exempt
@never_cache
def echo(request):
    """Everything the site can know of a request; the body as its length and hash."""
    return JsonResponse(
        {
            "method": request.method,
            "target": request.get_full_path(),
            "host": request.get_host(),
            "secure": request.is_secure(),
            "peer": request.META.get("REMOTE_ADDR"),
            "headers": dict(request.headers),
            "body_bytes": len(request.body),
            "body_sha256": hashlib.sha256(request.body).hexdigest(),
        }
    )


RELEASED = defaultdict(threading.Event)
PIECE = b"".join(b"%015d\n" % number for number in range(4096))


@never_cache
def download(request, name, pieces):
    """Pieces of 64 KiB; what follows the first waits until somebody releases the download by its name."""

    def body():
        yield PIECE
        if not RELEASED[name].wait(60):
            raise TimeoutError(name)
        for _ in range(pieces - 1):
            yield PIECE

    return StreamingHttpResponse(body(), content_type="application/octet-stream")


@never_cache
def release(request, name):
    RELEASED[name].set()
    return JsonResponse({"released": name})
