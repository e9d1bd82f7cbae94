//! Reads Rust source far enough to know which paths it names: no comments, no strings, no test-only items.

/// A path as written, with groups multiplied out: `use crate::{a::B, c}` gives `crate::a::B` and `crate::c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) line: usize,
    pub(super) segments: Vec<String>,
}

/// What one file holds outside `#[cfg(test)]`.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) paths: Vec<Path>,
    /// Modules in files of their own that only tests see.
    pub(super) test_modules: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    PathSeparator,
    Sign(char),
}

type Tokens = Vec<(usize, Token)>;

pub(super) fn read(text: &str) -> Source {
    let mut source = Source::default();
    let tokens = without_test_items(&tokens(&blank(text)), &mut source.test_modules);
    let mut at = 0;
    while at < tokens.len() {
        let begins = matches!(tokens[at].1, Token::Word(_))
            && !(at > 0 && tokens[at - 1].1 == Token::PathSeparator)
            && matches!(tokens.get(at + 1), Some((_, Token::PathSeparator)));
        // A bare `use room;` is a path too, of one word.
        let bare_use = at > 0 && tokens[at - 1].1 == Token::Word("use".into());
        if begins || (bare_use && matches!(tokens[at].1, Token::Word(_))) {
            at = multiply_out(&tokens, at, &[], &mut source.paths);
        } else {
            at += 1;
        }
    }
    source
}

/// Follows one path (or one branch of a group) and gives the place after it.
fn multiply_out(tokens: &Tokens, mut at: usize, prefix: &[String], out: &mut Vec<Path>) -> usize {
    let Some(&(line, _)) = tokens.get(at) else { return at };
    let mut segments = prefix.to_vec();
    loop {
        match tokens.get(at).map(|(_, token)| token) {
            Some(Token::Word(word)) => segments.push(word.clone()),
            Some(Token::Sign('*')) => segments.push("*".into()),
            Some(Token::Sign('{')) if !segments.is_empty() => {
                at += 1;
                while let Some((_, token)) = tokens.get(at) {
                    match token {
                        Token::Sign('}') => return at + 1,
                        // `as name` and commas carry nothing.
                        Token::Word(_) | Token::Sign('*' | '{') => {
                            at = multiply_out(tokens, at, &segments, out);
                            at = skip_alias(tokens, at);
                        }
                        _ => at += 1,
                    }
                }
                return at;
            }
            // `Vec::<u8>` and the like end the part that names modules.
            _ => break,
        }
        at += 1;
        if tokens.get(at).map(|(_, token)| token) != Some(&Token::PathSeparator) {
            break;
        }
        at += 1;
    }
    out.push(Path { line, segments });
    at
}

fn skip_alias(tokens: &Tokens, at: usize) -> usize {
    let alias = tokens.get(at).is_some_and(|(_, token)| *token == Token::Word("as".into()));
    if alias { at + 2 } else { at }
}

/// Takes out every item behind `#[cfg(test)]` and remembers which modules those were.
fn without_test_items(tokens: &Tokens, test_modules: &mut Vec<String>) -> Tokens {
    let opening: Vec<Token> = vec![
        Token::Sign('#'),
        Token::Sign('['),
        word("cfg"),
        Token::Sign('('),
        word("test"),
        Token::Sign(')'),
    ];
    let opens = |at: usize| {
        opening
            .iter()
            .enumerate()
            .all(|(i, wanted)| tokens.get(at + i).is_some_and(|(_, token)| token == wanted))
    };
    let mut kept = Tokens::new();
    let mut at = 0;
    while at < tokens.len() {
        if !opens(at) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let end = end_of_item(tokens, at);
        let item: Vec<&Token> = tokens[at..end].iter().map(|(_, token)| token).collect();
        if let Some(name) = item.windows(3).find_map(module_in_a_file) {
            test_modules.push(name);
        }
        at = end;
    }
    kept
}

fn module_in_a_file(three: &[&Token]) -> Option<String> {
    match three {
        [Token::Word(key), Token::Word(name), Token::Sign(';')] if key == "mod" => Some(name.clone()),
        _ => None,
    }
}

/// The place after the item that begins at `at`: behind its `;`, its closing brace, or the `,` of a field.
fn end_of_item(tokens: &Tokens, at: usize) -> usize {
    let mut depth = 0_i32;
    let mut in_use = false;
    for (i, (_, token)) in tokens.iter().enumerate().skip(at) {
        match token {
            Token::Word(word) if word == "use" && depth == 0 => in_use = true,
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']') => depth -= 1,
            Token::Sign('}') => {
                depth -= 1;
                // A field or variant at the end of its list has no comma; its list's brace is not ours.
                if depth < 0 {
                    return i;
                }
                if depth == 0 && !in_use {
                    return i + 1;
                }
            }
            Token::Sign(';' | ',') if depth == 0 => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn word(text: &str) -> Token {
    Token::Word(text.into())
}

fn tokens(text: &str) -> Tokens {
    let mut found = Tokens::new();
    for (number, line) in text.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if first.is_alphanumeric() || first == '_' {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                found.push((number + 1, Token::Word(rest[..end].into())));
                end
            } else if rest.starts_with("::") {
                found.push((number + 1, Token::PathSeparator));
                2
            } else {
                found.push((number + 1, Token::Sign(first)));
                first.len_utf8()
            };
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// The text with comments and literals blanked out, line by line as before.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let raw = raw_string_hashes(rest);
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some((opening, hashes)) = raw.filter(|_| !out.ends_with(is_word)) {
            let closing = format!("\"{}", "#".repeat(hashes));
            rest[opening..].find(&closing).map_or(rest.len(), |end| opening + end + closing.len())
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && is_char_literal(rest) {
            quoted(rest, '\'')
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[length..];
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of `r#"` and its number of hashes, when a raw string begins here.
fn raw_string_hashes(text: &str) -> Option<(usize, usize)> {
    let body = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = body.chars().take_while(|c| *c == '#').count();
    body[hashes..].starts_with('"').then(|| (text.len() - body.len() + hashes + 1, hashes))
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a literal that begins with `quote`, escapes considered.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `'a'` and `'\n'` are literals, `'a` is a lifetime.
fn is_char_literal(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        read(text).paths.iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn groups_are_multiplied_out() {
        let text = "use crate::{a::{B, C as D}, e, f::*};\nfn x() -> g::H { crate::i::j::<u8>() }";
        let expected = ["crate::a::B", "crate::a::C", "crate::e", "crate::f::*", "g::H", "crate::i::j"]
            .map(str::to_owned);
        assert_eq!(named(text), expected);
    }

    #[test]
    fn comments_and_literals_name_nothing() {
        let text = "// crate::a\n/* crate::b /* crate::c */ crate::d */ const X: &'static str = \"crate::e \\\" \
                    crate::f\"; const Y: &str = r#\"crate::g \" crate::h\"#; const Z: char = '\"'; fn ok() { crate::z::w() }";
        assert_eq!(named(text), ["crate::z::w"]);
    }

    #[test]
    fn test_only_items_name_nothing() {
        let text = "#[cfg(test)]\npub(in crate::a) mod rig;\n#[cfg(test)]\nuse crate::{b::C, d};\n#[cfg(test)]\nmod tests { use \
                    crate::e; fn x() { if true { crate::f::g() } } }\nuse crate::kept;";
        let source = read(text);
        assert_eq!(source.test_modules, ["rig"]);
        assert_eq!(source.paths.len(), 1);
        assert_eq!(source.paths[0].segments, ["crate", "kept"]);
        assert_eq!(source.paths[0].line, 7);
    }
}
