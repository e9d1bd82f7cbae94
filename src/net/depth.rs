//! How deeply an answer is nested (REL-30): beyond a bound it is garbage, whatever it says.

/// Arrays and objects within each other that an answer may have.
const DEPTH_MAX: usize = 64;

/// Whether arrays and objects are nested too deeply, brackets inside strings not counted.
pub(crate) fn is_nested_too_deeply(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_outside_of_strings() {
        let nested = |levels: usize| format!("{}{}", "[{\"a\":".repeat(levels / 2), "}]".repeat(levels / 2));
        assert!(!is_nested_too_deeply(nested(64).as_bytes()));
        assert!(is_nested_too_deeply(nested(66).as_bytes()));
        assert!(!is_nested_too_deeply(format!(r#"{{"a":"\"{}"}}"#, "[".repeat(100)).as_bytes()));
        assert!(!is_nested_too_deeply("[]".repeat(100).as_bytes()));
        assert!(is_nested_too_deeply("[".repeat(65).as_bytes()));
    }
}
