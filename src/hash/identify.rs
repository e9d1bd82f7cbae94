//! Which format a text claims to be, by its exact prefix.

/// Prefixes that belong to one format only. Longer ones stand before those they begin with.
///
/// `md5$…` and `sha1$…` are missing on purpose: Django and old Werkzeug write the same text and mean different
/// things by it. So are bare digests and 13-character DES crypt.
static PREFIXES: &[(&str, &str)] = &[
    ("$2a$", "bcrypt"),
    ("$2b$", "bcrypt"),
    ("$2x$", "bcrypt"),
    ("$2y$", "bcrypt"),
    ("$wp$", "wordpress-bcrypt"),
    ("$bcrypt-sha256$", "passlib-bcrypt-sha256"),
    ("bcrypt_sha256$", "django-bcrypt-sha256"),
    ("bcrypt$", "django-bcrypt"),
    ("$P$", "phpass"),
    ("$H$", "phpass"),
    ("$S$", "drupal7"),
    ("U$S$", "drupal7"),
    ("$argon2", "phc-argon2"),
    ("argon2$", "django-argon2"),
    ("pbkdf2_sha", "django-pbkdf2"),
    ("pbkdf2:", "werkzeug"),
    ("scrypt:", "werkzeug"),
    ("scrypt$", "django-scrypt"),
    ("$scrypt$", "phc-scrypt"),
    ("$7$", "scrypt-crypt7"),
    ("$y$", "yescrypt"),
    ("$gy$", "yescrypt"),
    ("$5$", "sha-crypt"),
    ("$6$", "sha-crypt"),
    ("$1$", "md5crypt"),
    ("$apr1$", "md5crypt"),
    ("$firescrypt$", "firescrypt-string"),
    ("$stormpath1$", "stormpath1"),
    ("$stormpath2$", "stormpath2"),
    ("$shiro1$", "shiro1"),
    ("$md5$", "ory"),
    ("$sha1$pf=", "ory"),
    ("$sha256$pf=", "ory"),
    ("$sha512$pf=", "ory"),
    ("$hmac-", "ory"),
    ("$md5-crypt$", "ory"),
    ("$sha256-crypt$", "ory"),
    ("$sha512-crypt$", "ory"),
    ("{PKCS5S2}", "atlassian-pkcs5s2"),
    ("{bcrypt}", "spring-delegating"),
    ("{noop}", "spring-delegating"),
    ("{pbkdf2@", "spring-delegating"),
    ("{scrypt", "spring-delegating"),
    ("{argon2@", "spring-delegating"),
];

/// The format of self-describing text; `None` when the text does not say what it is.
pub(crate) fn identify(text: &str) -> Option<&'static str> {
    let text = text.trim_ascii_end();
    if let Some((_, name)) = PREFIXES.iter().find(|(prefix, _)| text.starts_with(prefix)) {
        return Some(name);
    }
    if text.starts_with("$pbkdf2$") || text.starts_with("$pbkdf2-") {
        return Some(pbkdf2_dialect(text));
    }
    if text.starts_with("AQAAAA") && super::aspnet::is_version_3(text) {
        return Some("aspnet-identity");
    }
    super::ldap::has_known_scheme(text).then_some("ldap")
}

/// passlib writes bare rounds, the PHC form `i=…`; their base64 alphabets differ.
fn pbkdf2_dialect(text: &str) -> &'static str {
    let rounds = text.split('$').nth(2).unwrap_or_default();
    if rounds.starts_with(|c: char| c.is_ascii_digit()) { "passlib-pbkdf2" } else { "phc-pbkdf2" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_known_by_its_exact_prefix() {
        assert_eq!(identify("$2y$04$whatever"), Some("bcrypt"));
        assert_eq!(identify("$pbkdf2-sha256$60$c2FsdA$aGFzaA"), Some("passlib-pbkdf2"));
        assert_eq!(identify("$pbkdf2-sha256$i=60,l=32$c2FsdA$aGFzaA"), Some("phc-pbkdf2"));
        assert_eq!(identify("{ssha}AAAA"), Some("ldap"));
        assert_eq!(identify("{bcrypt}$2a$04$x"), Some("spring-delegating"));
        assert_eq!(
            identify("AQAAAAEAACcQAAAAEGMj7nvjF5YRaHvAbPK+y8gjWvw1mzDknBN/+DKEtTOf/e3yW5ZLH8NRefZ8CxSSmg=="),
            Some("aspnet-identity")
        );
    }

    #[test]
    fn ambiguous_text_is_not_guessed() {
        for text in
            ["", "md5$salt$00", "sha1$salt$00", "0af31426747bbd306e5bf5fd91967d88", "2TXzpzH0a.Vms", "{FOO}x"]
        {
            assert_eq!(identify(text), None, "{text}");
        }
    }
}
