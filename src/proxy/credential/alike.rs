//! Field names that are one for some readers. PHP drops blanks before a name and what follows its last index, cuts it at
//! a NUL and writes `_` for `.`, a blank and a lone `[`; ASP.NET takes `a.b` for `a[b]`, and like Go it does not care for
//! case. Whoever could write a name beside the one that is read
//! here would have us count, prove and remember one account, and the application sign in another.

use serde_json::Value;

/// Whether some reader takes `name` for `field`.
pub(super) fn is(name: &[u8], field: &str) -> bool {
    name == field.as_bytes() || folded(name) == folded(field.as_bytes())
}

/// Whether a member that a pointer leads through or to has one beside it that looks like it.
pub(super) fn beside(document: &Value, pointer: &str) -> bool {
    let mut value = document;
    for token in tokens(pointer) {
        if let Value::Object(members) = value
            && members.keys().any(|name| *name != token && is(name.as_bytes(), &token))
        {
            return true;
        }
        let Some(next) = value.get(&token) else { return false };
        value = next;
    }
    false
}

/// All values that a pointer may be taken to lead to.
pub(super) fn values<'a>(document: &'a Value, pointer: &str) -> Vec<&'a Value> {
    let mut found = vec![document];
    for token in tokens(pointer) {
        let next = |value: &'a Value| -> Vec<&'a Value> {
            match value {
                Value::Object(members) => {
                    let alike = members.iter().filter(|(name, _)| is(name.as_bytes(), &token));
                    alike.map(|(_, value)| value).collect()
                }
                Value::Array(items) => {
                    token.parse::<usize>().ok().and_then(|at| items.get(at)).into_iter().collect()
                }
                _ => Vec::new(),
            }
        };
        found = found.into_iter().flat_map(next).collect();
    }
    found
}

/// RFC 6901 §3 and §4.
fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

fn folded(name: &[u8]) -> String {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    // What follows the last index is nobody's.
    let whole = name.find('[').and_then(|_| name.rfind(']')).and_then(|end| name.get(..end));
    // Up and down again: there are letters that are another one's capital only, such as the long s.
    let letters = whole.unwrap_or(&name).trim_start().chars();
    let letters = letters.flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    letters
        .filter(|letter| *letter != ']')
        .map(|letter| if matches!(letter, '.' | ' ' | '[') { '_' } else { letter })
        .collect::<String>()
        .replace("__", "_")
}
