//! The kinds of hashes that one source holds, so that every guess there costs the same (SEC-40).
//!
//! A source may hold hashes of several costs, old ones and new ones. If a guess cost what its own hash does, the
//! cheap ones would show who is there. So each guess does the work of every kind once: its own in earnest, the others
//! for nobody.

use super::recipe::Recipe;

/// More kinds are not told apart: their own work comes on top of the others'.
const MOST_KINDS: usize = 8;

/// Recipes that match nobody, one of each kind that was met.
#[derive(Clone, Default)]
pub(super) struct Kinds(Vec<Recipe>);

impl Kinds {
    /// Remembers the kind of a hash that may be computed.
    pub(super) fn meet(&mut self, recipe: &Recipe) {
        if self.0.len() < MOST_KINDS && !self.0.iter().any(|known| known.is_like(recipe)) {
            self.0.push(recipe.without_result());
        }
    }

    /// Those that remain to be worked at beside a hash of this kind.
    pub(super) fn beside(&self, own: &Recipe) -> Vec<Recipe> {
        self.0.iter().filter(|known| !known.is_like(own)).cloned().collect()
    }

    pub(super) fn all(&self) -> &[Recipe] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        config::HashCeilings,
        hash::{HashFormat, StoredHash},
    };

    #[test]
    fn a_kind_is_met_once_whoever_has_it() {
        let format = HashFormat::from_settings(&"auto".into()).unwrap();
        let bcrypt = |cost: &str, salt: &str| format!("$2b${cost}${salt}{}", ".".repeat(31));
        for (hash, kinds) in [
            (bcrypt("04", "8oTTnIJNueziAg8aQIeWCe"), 1),
            (bcrypt("04", "9oTTnIJNueziAg8aQIeWCe"), 1),
            (bcrypt("05", "8oTTnIJNueziAg8aQIeWCe"), 2),
            ("{SSHA}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(), 3),
            (bcrypt("31", "8oTTnIJNueziAg8aQIeWCe"), 3),
            ("!locked".to_owned(), 3),
        ] {
            format.meet(&StoredHash::new(&hash, None), &HashCeilings::default());
            assert_eq!(format.kinds.lock().unwrap().all().len(), kinds, "{hash}");
        }
    }
}
