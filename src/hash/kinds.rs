//! The kinds of hashes that one source holds, so that every guess there costs the same (SEC-40).
//!
//! A source may hold hashes of several costs, old ones and new ones. If a guess cost what its own hash does, the
//! cheap ones would show who is there. So each guess costs what the dearest hash of every function does: its own in
//! earnest, and for nobody what is left of the dearest of its function, and the dearest of every other. An application
//! that raised its iterations nine times has one function, and a guess there costs no more than a new hash.

use super::recipe::Recipe;

/// More functions are not told apart: their own work comes on top of the others'.
const MOST_FUNCTIONS: usize = 8;

/// Recipes that match nobody: the dearest that was met of each function.
#[derive(Clone, Default)]
pub(super) struct Kinds(Vec<Recipe>);

/// Work that is done for nobody: so many rounds of a recipe.
pub(super) type Rest = (Recipe, u64);

impl Kinds {
    /// Remembers the kind of a hash that may be computed.
    pub(super) fn meet(&mut self, recipe: &Recipe) {
        let (met, is_full) = (recipe.rounds(), self.0.len() == MOST_FUNCTIONS);
        match self.0.iter_mut().find(|known| known.rounds().are_like(&met)) {
            Some(known) if known.rounds().count < met.count => *known = recipe.without_result(),
            Some(_) => {}
            None if is_full => {}
            None => self.0.push(recipe.without_result()),
        }
    }

    /// What remains to be worked at beside a hash of one's own, or of nobody's.
    pub(super) fn beside(&self, own: Option<&Recipe>) -> Vec<Rest> {
        let own = own.map(Recipe::rounds);
        let rest = |known: &Recipe| {
            let all = known.rounds();
            let done = own.as_ref().filter(|own| own.are_like(&all)).map_or(0, |own| own.count);
            let left = all.count.saturating_sub(done);
            (left > 0).then(|| (known.clone(), left))
        };
        self.0.iter().filter_map(rest).collect()
    }

    /// The dearest of each function.
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

    fn bcrypt(cost: u64, salt: &str) -> String {
        format!("$2b${cost:02}${salt}{}", ".".repeat(31))
    }

    #[test]
    fn a_function_is_met_once_with_its_dearest_hash() {
        let format = HashFormat::from_settings(&"auto".into()).unwrap();
        for (hash, functions, dearest) in [
            (bcrypt(4, "8oTTnIJNueziAg8aQIeWCe"), 1, 4),
            (bcrypt(4, "9oTTnIJNueziAg8aQIeWCe"), 1, 4),
            (bcrypt(6, "8oTTnIJNueziAg8aQIeWCe"), 1, 6),
            (bcrypt(5, "8oTTnIJNueziAg8aQIeWCe"), 1, 6),
            ("{SSHA}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(), 2, 6),
            (bcrypt(31, "8oTTnIJNueziAg8aQIeWCe"), 2, 6),
            ("!locked".to_owned(), 2, 6),
        ] {
            format.meet(&StoredHash::new(&hash, None), &HashCeilings::default());
            let kinds = format.kinds();
            assert_eq!(
                (kinds.all().len(), kinds.all()[0].costs()),
                (functions, vec![("cost", dearest)]),
                "{hash}"
            );
        }
    }

    /// Whoever is guessed at, of each function as many rounds are done as its dearest hash has.
    #[test]
    fn every_guess_does_the_same_rounds() {
        let sha512 = |rounds: u64| format!("$6$rounds={rounds}$salt${}", ".".repeat(86));
        let pbkdf2 = |iterations: u64, length: usize| {
            format!(
                "$pbkdf2-sha256$i={iterations},l={length}$c2FsdA${}",
                "A".repeat((length * 4).div_ceil(3))
            )
        };
        let argon2 =
            |passes: u64| format!("$argon2id$v=19$m=64,t={passes},p=1$c2FsdHNhbHQ${}", "A".repeat(43));
        let phpass = |count: char| format!("$P${count}{}", ".".repeat(30));
        let salt = "8oTTnIJNueziAg8aQIeWCe";
        let people = [
            bcrypt(5, salt),
            bcrypt(9, salt),
            bcrypt(12, salt),
            sha512(5000),
            sha512(6100),
            pbkdf2(1000, 32),
            pbkdf2(900, 64),
            pbkdf2(1700, 32),
            argon2(1),
            argon2(3),
            phpass('9'),
            phpass('B'),
        ];
        let format = HashFormat::from_settings(&"auto".into()).unwrap();
        let all = || people.iter().map(|text| StoredHash::new(text, None));
        all().for_each(|stored| format.meet(&stored, &HashCeilings::default()));
        let kinds = format.kinds();
        let mut dearest: Vec<_> =
            kinds.beside(None).iter().map(|(recipe, left)| (recipe.rounds(), *left)).collect();
        let counts: Vec<u64> = dearest.iter().map(|(_, left)| *left).collect();
        assert_eq!(counts, [1 << 12, 6100, 1800, 3, 1 << 13]);
        for stored in all() {
            let own = format.format.parse(&stored).unwrap();
            let rests = kinds.beside(Some(&own));
            for (function, most) in &mut dearest {
                let rest = rests.iter().find(|(recipe, _)| recipe.rounds().are_like(function));
                let done = if own.rounds().are_like(function) { own.rounds().count } else { 0 };
                assert_eq!(done + rest.map_or(0, |(_, left)| *left), *most, "{}", stored.text);
            }
        }
    }
}
