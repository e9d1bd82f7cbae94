"""Settings of the site, all from the environment so that one checkout serves many tests at once.

SITE_DATABASE_URL       postgres://user:password@host:port/name, mysql://… (MariaDB) or sqlite:///path
SITE_PUBLIC_ORIGINS     comma-separated origins under which people reach the site, such as http://app.localhost:8080
SITE_TRUST_FORWARDED    1: believe X-Forwarded-User (only the proxy can reach the site then)
SITE_PBKDF2_ITERATIONS  fewer rounds for tests with many people; Django's own number otherwise
SITE_SECRET_KEY         the same for several processes that share sessions; random otherwise
"""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.management.utils import get_random_secret_key


def database(url):
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": unquote(parts.path)}
    engines = {"postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql"}
    if parts.scheme not in engines:
        raise ValueError(f"SITE_DATABASE_URL: unknown scheme {parts.scheme!r}")
    return {
        "ENGINE": f"django.db.backends.{engines[parts.scheme]}",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        # One connection per thread is kept, as a production site would.
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


DATABASES = {"default": database(os.environ["SITE_DATABASE_URL"])}
if DATABASES["default"]["ENGINE"].endswith(".mysql"):
    import pymysql

    pymysql.install_as_MySQLdb()

ORIGINS = [origin.strip() for origin in os.environ.get("SITE_PUBLIC_ORIGINS", "").split(",") if origin.strip()]

SECRET_KEY = os.environ.get("SITE_SECRET_KEY") or get_random_secret_key()
DEBUG = False
# The site takes what the proxy lets through, so that the proxy's limit is the one that shows.
DATA_UPLOAD_MAX_MEMORY_SIZE = None
# A leading dot takes every name below .localhost, which browsers resolve to this machine.
ALLOWED_HOSTS = ["127.0.0.1", ".localhost", *{urlsplit(origin).hostname for origin in ORIGINS}]
CSRF_TRUSTED_ORIGINS = ORIGINS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

ROOT_URLCONF = "harbour.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "harbour",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
if os.environ.get("SITE_TRUST_FORWARDED") == "1":
    MIDDLEWARE.append("harbour.identity.ForwardedIdentityMiddleware")

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]

PASSWORD_HASHERS = ["harbour.hashers.SitePBKDF2", "django.contrib.auth.hashers.BCryptSHA256PasswordHasher"]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/accounts/login/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
