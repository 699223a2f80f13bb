//! `key = "value", …` of an attribute.

use proc_macro::{Span, TokenStream, TokenTree};

pub(crate) struct Argument {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Reads the arguments; says which key is not known and which are.
pub(crate) fn parse(tokens: TokenStream, known: &[&str]) -> Result<Vec<Argument>, (String, Span)> {
    let mut tokens = tokens.into_iter().peekable();
    let mut all = Vec::new();
    while let Some(token) = tokens.next() {
        let span = token.span();
        let TokenTree::Ident(key) = token else {
            return Err((format!("expected one of: {}", known.join(", ")), span));
        };
        let key = key.to_string();
        if !known.contains(&key.as_str()) {
            return Err((
                format!("unknown argument `{key}`; known are: {}", known.join(", ")),
                span,
            ));
        }
        match tokens.next() {
            Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => {}
            _ => return Err((format!("expected `{key} = \"…\"`"), span)),
        }
        let value = match tokens.next() {
            Some(TokenTree::Literal(literal)) => literal.to_string(),
            _ => return Err((format!("expected `{key} = \"…\"`"), span)),
        };
        let text = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'));
        let Some(text) = text.filter(|text| !text.contains('\\')) else {
            return Err((
                format!("the value of `{key}` is a plain string, as in `{key} = \"50ms\"`"),
                span,
            ));
        };
        all.push(Argument {
            key,
            value: text.to_owned(),
        });
        match tokens.next() {
            None => break,
            Some(TokenTree::Punct(punct)) if punct.as_char() == ',' => {}
            Some(other) => return Err(("expected `,`".to_owned(), other.span())),
        }
    }
    Ok(all)
}
