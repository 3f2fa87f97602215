//! A Rust file as tokens with line numbers: just enough of a lexer to tell code from comments and strings.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file. `path` is relative to the repository (`src/session/vad.rs`).
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Line and text of identifiers and single signs; no comments, strings, or white space.
    tokens: Vec<(usize, String)>,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), tokens: tokens(text) }
    }

    /// The top-level module that the file belongs to.
    pub(crate) fn module(&self) -> &str {
        self.below_src().split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    fn below_src(&self) -> &str {
        self.path.strip_prefix("src/").unwrap_or(&self.path)
    }

    /// Whether the file is `owner`, or lies in the folder of that name.
    pub(crate) fn is_in(&self, owner: &str) -> bool {
        self.below_src().strip_prefix(owner).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Lines where these tokens stand in a row.
    pub(crate) fn lines_naming(&self, words: &[&str]) -> Vec<usize> {
        let here =
            |window: &&[(usize, String)]| window.iter().map(|(_, token)| token.as_str()).eq(words.iter().copied());
        self.tokens.windows(words.len()).filter(here).map(|window| window[0].0).collect()
    }

    /// First segments of the paths that begin with `root`: `a` and `c` in `root::{a::b, c}`.
    pub(crate) fn paths_from(&self, root: &str) -> Vec<(usize, String)> {
        (0..self.tokens.len()).filter(|&i| self.token(i) == root).flat_map(|i| self.segments_after(i)).collect()
    }

    /// First segments of paths that reach the crate's root by way of `super`.
    pub(crate) fn paths_from_super(&self) -> Vec<(usize, String)> {
        let depth = self.below_src().trim_end_matches(".rs").trim_end_matches("/mod").split('/').count();
        let climbs = |i: &usize| (0..depth).all(|n| self.token(i + 3 * n) == "super");
        (0..self.tokens.len()).filter(climbs).flat_map(|i| self.segments_after(i + 3 * (depth - 1))).collect()
    }

    fn segments_after(&self, root: usize) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        if self.token(root + 1) != ":" || self.token(root + 2) != ":" {
            return found;
        }
        let first = root + 3;
        if self.token(first) != "{" {
            return self.tokens.get(first).cloned().into_iter().collect();
        }
        let (mut depth, mut i) = (1, first + 1);
        while depth > 0 && i < self.tokens.len() {
            if depth == 1 && ["{", ","].contains(&self.token(i - 1)) && self.token(i) != "}" {
                found.push(self.tokens[i].clone());
            }
            match self.token(i) {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            i += 1;
        }
        found
    }

    fn token(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |(_, token)| token)
    }
}

fn tokens(text: &str) -> Vec<(usize, String)> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push((line, rest[..length].to_owned()));
            length
        } else {
            if !first.is_whitespace() {
                tokens.push((line, first.to_string()));
            }
            first.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// Length of the string or character literal that `text` begins with. A lifetime is no literal.
fn literal(text: &str) -> Option<usize> {
    let body = text.strip_prefix('b').unwrap_or(text);
    let prefix = text.len() - body.len();
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.find(|c| c != '#')?;
        let content = raw[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        return Some(prefix + 2 + hashes + content.find(&close)? + close.len());
    }
    let quote = body.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let mut escaped = false;
    for (position, c) in body.char_indices().skip(1) {
        if c == quote && !escaped {
            let is_literal = quote == '"' || position > 1;
            return is_literal.then_some(prefix + position + 1);
        }
        // 'a in a generic list is a lifetime: only an escape or a quote may follow a character's first sign.
        if quote == '\'' && !escaped && position > 1 && !body[1..].starts_with('\\') {
            return None;
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

/// The files below a folder, sorted. A folder that does not exist has none.
pub(crate) fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(all_files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}
