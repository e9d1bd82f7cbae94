//! Values that must not be seen: passwords and configured secrets.

use std::fmt;

use zeroize::Zeroizing;

/// A password as the person typed it: bytes, untouched.
///
/// It has no `Debug` that tells, no `Display`, no `Serialize`, no `Clone`, and is overwritten when dropped.
pub(crate) struct Password(Zeroizing<Vec<u8>>);

/// Why a typed password is not tried at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordRefusal {
    /// An empty password opens an unauthenticated LDAP bind and matches the hash of nothing.
    #[error("password is empty")]
    Empty,
    #[error("password is longer than 1024 bytes")]
    TooLong,
}

impl Password {
    /// The longest password the sign-in path tries, in bytes (SEC-39).
    pub(crate) const SIGN_IN_MAX_BYTES: usize = 1024;

    /// Takes a typed password for a sign-in; refuses empty ones and those above 1,024 bytes.
    pub(crate) fn for_sign_in(bytes: Vec<u8>) -> Result<Self, PasswordRefusal> {
        let password = Self(Zeroizing::new(bytes));
        match password.0.len() {
            0 => Err(PasswordRefusal::Empty),
            len if len > Self::SIGN_IN_MAX_BYTES => Err(PasswordRefusal::TooLong),
            _ => Ok(password),
        }
    }

    /// Takes any bytes, for the hash tools, which judge vectors and not people.
    pub(crate) fn unchecked(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one call that needs them.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text for protocols that carry text (JSON, forms); `None` when they are not UTF-8.
    pub(crate) fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A configured or received secret text: client secret, token, key. Prints as `[redacted]`, overwritten on drop.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one call that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", Password::for_sign_in(b"canary".to_vec()).unwrap()), "[redacted]");
        assert_eq!(format!("{:?}", Secret::new("canary".into())), "[redacted]");
    }

    #[test]
    fn a_sign_in_password_has_between_1_and_1024_bytes() {
        assert_eq!(Password::for_sign_in(vec![]).err(), Some(PasswordRefusal::Empty));
        assert!(Password::for_sign_in(vec![b'x'; 1024]).is_ok());
        assert_eq!(Password::for_sign_in(vec![b'x'; 1025]).err(), Some(PasswordRefusal::TooLong));
    }
}
