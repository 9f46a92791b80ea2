//! Rust source as tokens, good enough for rules about names: comments are gone, strings are one token each, test code can be cut out.
//!
//! It knows no rule. It is not a parser: what does not lex is skipped, because the compiler has its own word about that.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or keyword; raw identifiers without `r#`.
    Ident,
    /// A string literal of any form; the text is its contents as written.
    Str,
    /// A number, a character or a lifetime: nothing that a rule asks for.
    Other,
    /// One punctuation character, or `::`.
    Punct,
}

/// A token and the line it begins in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
}

impl Token {
    /// Is it this identifier or this punctuation?
    pub fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Ident | Kind::Punct) && self.text == text
    }

    /// Is it an identifier?
    pub fn is_ident(&self) -> bool {
        self.kind == Kind::Ident
    }
}

/// A path such as `crate::store::Tx`, with `use` trees spelled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Its segments.
    pub segments: Vec<String>,
    /// Its line, from 1.
    pub line: usize,
}

/// All tokens of a source text.
pub fn tokens(text: &str) -> Vec<Token> {
    Lexer { chars: text.chars().collect(), at: 0, line: 1, out: Vec::new() }.run()
}

/// The tokens less every item under `#[cfg(test)]`, `#[test]` and the like.
pub fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(end) = attribute_end(tokens, at) {
            if is_test_attribute(&tokens[at..end]) {
                at = item_end(tokens, end);
                continue;
            }
            out.extend_from_slice(&tokens[at..end]);
            at = end;
        } else {
            out.push(tokens[at].clone());
            at += 1;
        }
    }
    out
}

/// The end of the attribute that begins at `at`, if one does.
pub fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    let open = match (tokens.get(at), tokens.get(at + 1), tokens.get(at + 2)) {
        (Some(hash), Some(bracket), _) if hash.is("#") && bracket.is("[") => at + 1,
        (Some(hash), Some(bang), Some(bracket)) if hash.is("#") && bang.is("!") && bracket.is("[") => at + 2,
        _ => return None,
    };
    Some(matching(tokens, open))
}

/// The paths in the tokens.
pub fn paths(tokens: &[Token]) -> Vec<Path> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        // `use<'a>` says what an `impl Trait` captures: no import.
        if tokens[at].is("use") && !tokens.get(at + 1).is_some_and(|t| t.is("<")) {
            let line = tokens[at].line;
            let mut found = Vec::new();
            at = use_tree(tokens, at + 1, &[], &mut found);
            out.extend(found.into_iter().map(|segments| Path { segments, line }));
        } else if tokens[at].is_ident() {
            let line = tokens[at].line;
            let mut segments = vec![tokens[at].text.clone()];
            at += 1;
            while at + 1 < tokens.len() && tokens[at].is("::") && tokens[at + 1].is_ident() {
                segments.push(tokens[at + 1].text.clone());
                at += 2;
            }
            out.push(Path { segments, line });
        } else {
            at += 1;
        }
    }
    out
}

/// Reads a use tree from `at` and returns where it ends.
fn use_tree(tokens: &[Token], mut at: usize, prefix: &[String], out: &mut Vec<Vec<String>>) -> usize {
    let mut segments = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        if token.is("{") {
            at += 1;
            while tokens.get(at).is_some_and(|t| !t.is("}")) {
                let before = at;
                at = use_tree(tokens, at, &segments, out);
                if at == before {
                    // No use tree after all; what is here is not for this function.
                    return at + 1;
                }
                if tokens.get(at).is_some_and(|t| t.is(",")) {
                    at += 1;
                }
            }
            return at + 1;
        }
        if token.is("as") {
            at += 2;
        } else if token.is(",") || token.is("}") || token.is(";") {
            break;
        } else {
            if token.is_ident() || token.is("*") {
                segments.push(token.text.clone());
            }
            at += 1;
        }
    }
    if segments.len() > prefix.len() {
        out.push(segments);
    }
    at
}

fn is_test_attribute(attribute: &[Token]) -> bool {
    let words: Vec<&str> = attribute.iter().filter(|t| t.is_ident()).map(|t| t.text.as_str()).collect();
    match words.first() {
        Some(&"cfg") => words.contains(&"test") && !words.contains(&"not"),
        Some(&"test") => true,
        _ => words.last() == Some(&"test") && words.len() <= 2,
    }
}

/// Where the item ends that stands at `at`, further attributes included: behind its block or its semicolon.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while let Some(end) = attribute_end(tokens, at) {
        at = end;
    }
    while at < tokens.len() {
        if tokens[at].is("{") {
            return matching(tokens, at);
        }
        if tokens[at].is(";") {
            return at + 1;
        }
        at = if tokens[at].is("(") || tokens[at].is("[") { matching(tokens, at) } else { at + 1 };
    }
    at
}

/// Behind the bracket that closes the one at `open`.
fn matching(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.is("{") || token.is("(") || token.is("[") {
            depth += 1;
        } else if token.is("}") || token.is(")") || token.is("]") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    out: Vec<Token>,
}

impl Lexer {
    fn run(mut self) -> Vec<Token> {
        while let Some(c) = self.peek(0) {
            match c {
                '/' if self.peek(1) == Some('/') => self.line_comment(),
                '/' if self.peek(1) == Some('*') => self.block_comment(),
                '"' => self.string(),
                '\'' => self.quote(),
                c if c.is_whitespace() => self.skip(),
                c if c.is_ascii_digit() => self.number(),
                c if c == '_' || c.is_alphabetic() => self.word(),
                ':' if self.peek(1) == Some(':') => {
                    self.push(Kind::Punct, "::".into(), self.line);
                    self.at += 2;
                }
                c => {
                    self.push(Kind::Punct, c.into(), self.line);
                    self.skip();
                }
            }
        }
        self.out
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn skip(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn push(&mut self, kind: Kind, text: String, line: usize) {
        self.out.push(Token { kind, text, line });
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.at += 1;
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0usize;
        while self.peek(0).is_some() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some('*'), Some('/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.skip(),
            }
        }
    }

    /// A string with escapes; stands on its opening quote.
    fn string(&mut self) {
        let line = self.line;
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek(0) {
            if c == '"' {
                self.at += 1;
                break;
            }
            text.push(c);
            self.skip();
            if c == '\\'
                && let Some(escaped) = self.peek(0)
            {
                text.push(escaped);
                self.skip();
            }
        }
        self.push(Kind::Str, text, line);
    }

    /// A raw string; stands on the first `#` or the quote.
    fn raw_string(&mut self) {
        let line = self.line;
        let hashes = self.chars[self.at..].iter().take_while(|c| **c == '#').count();
        self.at += hashes + 1;
        let mut text = String::new();
        while let Some(c) = self.peek(0) {
            if c == '"' && (1..=hashes).all(|i| self.peek(i) == Some('#')) {
                self.at += hashes + 1;
                break;
            }
            text.push(c);
            self.skip();
        }
        self.push(Kind::Str, text, line);
    }

    /// A character or a lifetime.
    fn quote(&mut self) {
        let line = self.line;
        self.at += 1;
        if self.peek(0) == Some('\\') {
            self.at += 2;
            while self.peek(0).is_some_and(|c| c != '\'') {
                self.skip();
            }
            self.at += 1;
        } else if self.peek(1) == Some('\'') {
            self.skip();
            self.at += 1;
        } else {
            while self.peek(0).is_some_and(|c| c == '_' || c.is_alphanumeric()) {
                self.at += 1;
            }
        }
        self.push(Kind::Other, String::new(), line);
    }

    fn number(&mut self) {
        let line = self.line;
        // A second dot would be a range: `0..n`.
        while self.peek(0).is_some_and(|c| c == '_' || c.is_alphanumeric())
            || (self.peek(0) == Some('.') && self.peek(1).is_some_and(|c| c.is_ascii_digit()))
        {
            self.at += 1;
        }
        self.push(Kind::Other, String::new(), line);
    }

    fn word(&mut self) {
        let (line, from) = (self.line, self.at);
        while self.peek(0).is_some_and(|c| c == '_' || c.is_alphanumeric()) {
            self.at += 1;
        }
        let word: String = self.chars[from..self.at].iter().collect();
        match (word.as_str(), self.peek(0), self.peek(1)) {
            ("b" | "c", Some('"'), _) => self.string(),
            ("b", Some('\''), _) => self.quote(),
            ("r" | "br" | "cr", Some('"'), _) | ("r" | "br" | "cr", Some('#'), Some('"' | '#')) => self.raw_string(),
            ("r", Some('#'), _) => self.at += 1,
            _ => self.push(Kind::Ident, word, line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokens(text).into_iter().filter(Token::is_ident).map(|t| t.text).collect()
    }

    fn seen(text: &str) -> Vec<String> {
        paths(&tokens(text)).into_iter().map(|p| p.segments.join("::")).collect()
    }

    #[test]
    fn comments_and_strings_hold_no_words() {
        let text = "a /* b /* c */ d */ e // f\n\"g \\\" h\" r#\"i \" j\"# b\"k\" 'l' '\\'' m<'n> r#o br##\"p\"# q\"##";
        assert_eq!(words(text), ["a", "e", "m", "o"]);
        assert_eq!(tokens(text).iter().filter(|t| t.kind == Kind::Str).count(), 4);
    }

    #[test]
    fn lines_are_counted_through_comments_and_strings() {
        let all = tokens("/*\n*/ \"\n\n\" x");
        assert_eq!(all.last().map(|t| (t.text.as_str(), t.line)), Some(("x", 4)));
    }

    #[test]
    fn ranges_and_chars_do_not_swallow_what_follows() {
        assert_eq!(words("0..n 1.5 'a'..='z' b'x' end"), ["n", "end"]);
    }

    #[test]
    fn use_trees_are_spelled_out() {
        assert_eq!(
            seen("use crate::{store::{self, Tx}, keys as k}; x::y(z);"),
            ["crate::store::self", "crate::store::Tx", "crate::keys", "x::y", "z"]
        );
        assert_eq!(seen("pub use a::*;"), ["pub", "a::*"]);
        assert_eq!(seen("-> impl X + use<'_> { y(); }"), ["impl", "X", "use", "y"]);
        assert_eq!(seen("use a {;b"), ["b"], "what is no use tree does not hold up the rest");
    }

    #[test]
    fn test_code_is_cut_out() {
        let text = "fn a() {} #[cfg(test)] #[path = \"x\"] mod t { fn b() { { } } } #[cfg(not(test))] fn c() {} \
                    #[test] fn d() -> [u8; 2] { } #[tokio::test] async fn e() {} #[cfg(test)] mod u; #[derive(Debug)] struct F;";
        let left: Vec<String> =
            without_tests(&tokens(text)).into_iter().filter(Token::is_ident).map(|t| t.text).collect();
        assert_eq!(left, ["fn", "a", "cfg", "not", "test", "fn", "c", "derive", "Debug", "struct", "F"]);
    }
}
