"""Django's default password hash, with a number of rounds that a test may lower."""

import os

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class SitePBKDF2(PBKDF2PasswordHasher):
    iterations = int(os.environ.get("SITE_PBKDF2_ITERATIONS") or PBKDF2PasswordHasher.iterations)
