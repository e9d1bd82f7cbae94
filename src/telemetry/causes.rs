//! Errors as logs show them.

use std::error::Error;

/// An error with its causes, in one line. Errors here name no secret and no person (style, "Errors").
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn the_causes_follow_the_error() {
        let cause = "x".parse::<u8>().unwrap_err();
        assert_eq!(with_causes(&Outer(cause)), "outer: invalid digit found in string");
    }
}
