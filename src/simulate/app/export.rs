//! The user table as a legacy export: JSON lines with password hashes.

use serde_json::json;

use super::Options;

/// A person whose password cannot be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password of user {id:?} cannot be hashed")]
pub(crate) struct ExportError {
    id: String,
    #[source]
    source: bcrypt::BcryptError,
}

impl Options {
    /// One line a person: `id, email, email_verified, password_hash, given_name, family_name, mfa, disabled`.
    ///
    /// A password above bcrypt's 72 bytes is an error: cut off, its hash would accept other passwords too.
    pub(crate) fn export_jsonl(&self) -> Result<String, ExportError> {
        let cost = self.hash_cost.clamp(4, 6);
        let mut lines = String::new();
        for person in &self.users {
            let hash = |password: &String| bcrypt::non_truncating_hash(password, cost);
            let hash = person.password.as_ref().map(hash).transpose();
            let hash = hash.map_err(|source| ExportError { id: person.id.clone(), source })?;
            let (given_name, family_name) = person.names();
            let line = json!({
                "id": person.id,
                "email": person.email,
                "email_verified": person.email_verified,
                "password_hash": hash,
                "given_name": given_name,
                "family_name": family_name,
                "mfa": person.mfa,
                "disabled": person.disabled,
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        Ok(lines)
    }
}
